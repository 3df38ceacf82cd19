import { MypaasError } from '../errors.ts'
import { nothing, type SignedChallenge } from './challenge.ts'
import { keyFingerprint, ledFrom } from './server-key.ts'

/** What a client remembers of a server at an address. */
export type KnownServer = Readonly<{
  /** Its id. */
  server?: string
  /** The fingerprint of the user's key that it took. */
  key?: string
  /** The fingerprint of its own key. */
  identity?: string
  /** That is what `mypaas remote add` was given; no server there has shown it yet. */
  added?: true
}>

/** What a client remembers of servers, by address, so that a stranger can't pass for one. */
export type KnownServers = {
  get: (address: string) => KnownServer | undefined
  set: (address: string, known: KnownServer) => Promise<void>
  /** The addresses of servers that have a key, and its fingerprint. */
  identities: () => ReadonlyMap<string, string>
}

export type PinOptions = Readonly<{
  known: KnownServers
  /** Fingerprints, one of which the server must have, and where somebody wrote them. They count before what is remembered. */
  expected?: Readonly<{ keys: readonly string[]; from: string }> | undefined
  /** What the user calls the server, for hints; its address unless given. */
  called?: string | undefined
  /** Asks a person whether a server that nobody knows here is the right one; `undefined` where nobody is there. */
  confirm?: ((name: string, fingerprint: string) => Promise<boolean>) | undefined
  onWarning?: ((message: string) => void) | undefined
}>

/**
 * Decides whether a server is the one that is meant: by what somebody wrote down, else by what was remembered, else by
 * asking. A key that the old one signed takes its place.
 * @param name the server's address
 * @returns `asked` when a person was, which may have taken a while
 * @throws {MypaasError} `unauthorised` when it is another one, or nobody can tell
 */
export async function identify(
  name: string,
  { challenge, key, earlier }: SignedChallenge,
  options: PinOptions,
): Promise<'known' | 'asked'> {
  const { known, expected, confirm } = options
  const called = options.called ?? name
  const warn = options.onWarning ?? (() => {})
  const shown = keyFingerprint(key)
  const before = known.get(name)
  const remember = async (): Promise<void> => {
    if (before?.identity === shown && before.server === challenge.server && !before.added) return
    const { added: _, ...rest } = before ?? {}
    await known.set(name, { ...rest, server: challenge.server, identity: shown })
  }

  if (expected ?? before?.identity) {
    const wanted = expected?.keys ?? [before?.identity ?? '']
    if (!wanted.includes(shown)) {
      const old = ledFrom(wanted, key, earlier)
      if (old === undefined)
        throw expected ? notTheNamed(name, shown, expected) : notTheSame(name, shown, before, called)
      for (const [address, identity] of known.identities())
        if (ledFrom([identity], key, earlier)) await known.set(address, { ...known.get(address), identity: shown })
      const instead = expected
        ? ` Write that into ${expected.from}, in place of ${old}.`
        : ' It is remembered in place of the old one.'
      warn(`${name} has a new key, signed by its old one: ${shown}.${instead}`)
    } else if (
      before?.identity !== undefined &&
      before.identity !== shown &&
      !ledFrom([before.identity], key, earlier)
    ) {
      warn(`${name} had another key before, ${before.identity}; ${expected?.from} names the one that it has now.`)
    }
    await remember()
    return 'known'
  }

  // As versions remembered it that knew no keys of servers.
  if (before?.server !== undefined && before.server !== challenge.server) throw notTheSame(name, shown, before, called)
  const elsewhere = known.identities()
  const same = [...elsewhere.values()].includes(shown) ? shown : ledFrom([...elsewhere.values()], key, earlier)
  if (same !== undefined) {
    const other = [...elsewhere].find(([, identity]) => identity === same)?.[0]
    warn(`${name} is the server that is known here as ${other}.`)
    await remember()
    return 'known'
  }
  if (!confirm) throw unknown(name, shown, called)
  if (!(await confirm(name, shown))) {
    throw new MypaasError(`${name} was not taken for the server that is meant: ${nothing}`, {
      code: 'unauthorised',
      hint: 'Its key is shown on the server by: mypaas server identity show',
    })
  }
  await remember()
  return 'asked'
}

function notTheSame(name: string, shown: string, before: KnownServer | undefined, called: string): MypaasError {
  if (before?.added) {
    return new MypaasError(
      `${name} is not the server that was written down by mypaas remote add: its key is ${shown}, not ${before.identity}; ${nothing}`,
      {
        code: 'unauthorised',
        hint: `Its key is shown on the server by: mypaas server identity show. If what was written down is wrong, forget it: mypaas remote forget ${word(called)}`,
      },
    )
  }
  const was = before?.identity === undefined ? `its id was ${before?.server}` : `its key was ${before.identity}`
  return new MypaasError(`${name} is not the server that it was: ${was}, now its key is ${shown}; ${nothing}`, {
    code: 'unauthorised',
    hint: `If it was set up anew, forget the old one: mypaas remote forget ${word(called)}`,
  })
}

function notTheNamed(name: string, shown: string, expected: NonNullable<PinOptions['expected']>): MypaasError {
  const { keys, from } = expected
  return new MypaasError(
    `${name} is not the server that ${from} names: its key is ${shown}, not ${keys.join(' or ')}; ${nothing}`,
    {
      code: 'unauthorised',
      hint: `Its key is shown on the server by: mypaas server identity show. If that is another one than ${from} has, write it there.`,
    },
  )
}

function unknown(name: string, shown: string, called: string): MypaasError {
  return new MypaasError(`${name} is not known here, and there is no terminal to ask on: ${nothing}`, {
    code: 'unauthorised',
    hint: [
      `Its key is ${shown}. If "mypaas server identity show" says the same on the server, do one of these:`,
      `  export MYPAAS_SERVER_KEY=${shown}`,
      `  write it behind the address: ${word(`${called}#${shown}`)}`,
      `  mypaas status ${word(called)}, on a terminal, which asks and remembers it`,
    ].join('\n'),
  })
}

/** As a shell reads it. */
function word(text: string): string {
  return /^[\w@%+=:,./#-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`
}
