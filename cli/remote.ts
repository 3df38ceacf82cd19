import { readFile } from 'node:fs/promises'
import type { StringArgDef } from 'citty'
import { MypaasError } from '../src/errors.ts'
import { findKeys } from '../src/push/keys.ts'
import { Remote } from '../src/push/remote.ts'
import { Remotes } from '../src/push/remotes.ts'
import { openTransport, parseAddress } from '../src/push/transport.ts'
import { progress } from './render.ts'

/** The server that a command goes to, and the key that it is signed with. */
export const server: { type: 'positional'; required: true; description: string } = {
  type: 'positional',
  required: true,
  description: 'A domain, user@host, or a name from mypaas remote add',
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
  const named = remotes.named(args.server)
  const address = parseAddress(named?.address ?? args.server, remotes.names)
  const transport = openTransport(address, {
    ca: named?.ca === undefined ? undefined : await readCertificates(named.ca),
  })
  try {
    return await work(
      new Remote(transport, {
        findKeys: () => findKeys({ keyFile: args.key ?? named?.key }),
        known: remotes,
        signal,
        onWarning: progress,
      }),
    )
  } finally {
    transport.close()
  }
}

async function readCertificates(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8')
  } catch (cause) {
    throw new MypaasError(`Can't read the certificates in ${file}.`, { code: 'usage', cause })
  }
}
