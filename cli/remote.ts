import { readFile } from 'node:fs/promises'
import type { StringArgDef } from 'citty'
import { MypaasError } from '../src/errors.ts'
import { findKeys } from '../src/push/keys.ts'
import { Remote } from '../src/push/remote.ts'
import { RemoteError } from '../src/push/remote-error.ts'
import { Remotes } from '../src/push/remotes.ts'
import { parsePins, splitPins } from '../src/push/server-key.ts'
import { openTransport, parseAddress } from '../src/push/transport.ts'
import { firstContact } from './first-contact.ts'
import { progress } from './render.ts'

/** The server that a command goes to, and the key that it is signed with. */
export const server: { type: 'positional'; required: true; description: string } = {
  type: 'positional',
  required: true,
  description:
    'A domain, user@host, or a name from mypaas remote add; #SHA256:… behind it is the key that it must have',
}

export const remoteArgs: { key: StringArgDef } = {
  key: { type: 'string', valueHint: 'FILE', description: 'Sign with this private key (agent, then ~/.ssh)' },
}

/** Opens the way to a server that is named on the command line, does something there, and closes it. */
export async function withRemote<T>(
  args: { server: string; key?: string | undefined },
  signal: AbortSignal | undefined,
  work: (remote: Remote) => Promise<T>,
): Promise<T> {
  const remotes = await Remotes.open()
  const { server: called, pins } = splitPins(args.server)
  const named = remotes.named(called)
  const address = parseAddress(named?.address ?? called, remotes.names)
  const over = new AbortController()
  const transport = openTransport(address, {
    ca: named?.ca === undefined ? undefined : await readCertificates(named.ca),
  })
  try {
    return await work(
      new Remote(transport, {
        findKeys: () => findKeys({ keyFile: args.key ?? named?.key }),
        known: remotes,
        expected: pins ? { keys: pins, from: 'the address' } : pinsOfEnvironment(),
        called,
        confirm: firstContact(over.signal),
        signal,
        onWarning: progress,
      }),
    )
  } catch (error) {
    throw error instanceof RemoteError ? error.seenFromHere(called) : error
  } finally {
    over.abort()
    transport.close()
  }
}

/** What CI is given, which has nothing that it could remember. */
function pinsOfEnvironment(): { keys: readonly string[]; from: string } | undefined {
  const keys = parsePins(process.env['MYPAAS_SERVER_KEY'] ?? '', 'MYPAAS_SERVER_KEY')
  return keys.length === 0 ? undefined : { keys, from: 'MYPAAS_SERVER_KEY' }
}

async function readCertificates(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8')
  } catch (cause) {
    throw new MypaasError(`Can't read the certificates in ${file}.`, { code: 'usage', cause })
  }
}
