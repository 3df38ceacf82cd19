import { parseSince } from '../deploy/logs.ts'
import { MypaasError } from '../errors.ts'
import { checkedName } from '../service/names.ts'
import { quote } from '../service/problems.ts'

/** What can come with a call, each argument as what it means: the same in every action. */
export type Arguments = Readonly<{
  service?: string
  /** Of a secret: the environment variable that it becomes. */
  name?: string
  release?: number
  replica?: number
  replicas?: number
  tail?: number
  since?: Date
  follow?: true
  tty?: true
  volumes?: true
  job?: string
  /** The number of the last event that was seen; -1 for none. */
  after?: number
}>

export type ArgumentName = keyof Arguments

/** How an argument is written, and what it becomes. */
type Grammar<T> = (text: string, name: string) => T

const grammars: { readonly [K in ArgumentName]-?: Grammar<NonNullable<Arguments[K]>> } = {
  service: checkedName,
  name: matching(/^[A-Za-z_][A-Za-z0-9_.-]{0,199}$/, 'the name of an environment variable'),
  release: whole(1, 999_999_999),
  replica: whole(1, 999),
  replicas: whole(0, 999_999_999),
  tail: whole(0, 1_000_000),
  since: (text) => parseSince(matching(/^[\w:.+ -]{1,60}$/, 'a time')(text, 'since')),
  follow: yes,
  tty: yes,
  volumes: yes,
  job: matching(/^[a-z0-9-]{8,60}$/, 'the id of a job'),
  after: (text, name) => (text === '-1' ? -1 : whole(0, 999_999_999)(text, name)),
}

/** Which arguments something takes, and which of them it can't do without. */
export type Taken = Readonly<{ takes: readonly ArgumentName[]; needs: readonly ArgumentName[] }>

/**
 * The words of a call → its arguments. Behind this no text of a client reaches a file path, a lock, the config, a filter
 * or a command line that was not read here.
 * @throws {MypaasError} `usage` naming the argument that is strange, missing, or not written as it has to be
 */
export function parseArguments(
  action: string,
  { takes, needs }: Taken,
  given: Readonly<Record<string, string>>,
): Arguments {
  const parsed: Record<string, unknown> = {}
  for (const [name, text] of Object.entries(given)) {
    const known = takes.find((taken) => taken === name)
    if (known === undefined) throw new MypaasError(`${action} takes no ${name}.`, { code: 'usage' })
    parsed[known] = grammars[known](text, known)
  }
  const missing = needs.find((name) => parsed[name] === undefined)
  if (missing === 'service') throw new MypaasError('Which service?', { code: 'usage' })
  if (missing !== undefined) throw new MypaasError(`${action} needs ${missing}.`, { code: 'usage' })
  return parsed as Arguments
}

function matching(grammar: RegExp, what: string): Grammar<string> {
  return (text, name) => {
    if (grammar.test(text)) return text
    throw new MypaasError(`${name} must be ${what}, not ${quote(text)}.`, { code: 'usage' })
  }
}

function whole(min: number, max: number): Grammar<number> {
  return (text, name) => {
    const number = /^\d{1,9}$/.test(text) ? Number(text) : Number.NaN
    if (number >= min && number <= max) return number
    throw new MypaasError(`${name} must be a whole number from ${min} to ${max}, not ${quote(text)}.`, {
      code: 'usage',
    })
  }
}

function yes(text: string, name: string): true {
  if (text === 'yes') return true
  throw new MypaasError(`${name} can only be yes, not ${quote(text)}.`, { code: 'usage' })
}
