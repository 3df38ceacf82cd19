import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { AuthorizedKeys } from '../keys.ts'
import { findServerKey } from '../server-key.ts'
import type { Finding } from './finding.ts'

/** A file or folder that holds something that is nobody else's business. */
export type FileFact = Readonly<{
  path: string
  mode: number
  /** The most that it may allow. */
  allowed: number
}>

export async function fileFacts(directory: string): Promise<readonly FileFact[]> {
  const journals = await readdir(join(directory, 'services')).catch(() => [])
  const wanted: readonly (readonly [path: string, allowed: number])[] = [
    ['.', 0o700],
    ['config.toml', 0o600],
    ['server.json', 0o600],
    ['server-key.json', 0o600],
    ['authorized_keys', 0o600],
    ['services', 0o700],
    ['traefik/acme', 0o700],
    ['traefik/acme/acme.json', 0o600],
    ...journals.filter((file) => file.endsWith('.json')).map((file) => [`services/${file}`, 0o600] as const),
  ]
  const found = await Promise.all(
    wanted.map(async ([name, allowed]) => {
      const path = join(directory, name)
      const entry = await stat(path).catch(() => undefined)
      return entry ? [{ path, mode: entry.mode & 0o777, allowed }] : []
    }),
  )
  return found.flat()
}

export function judgeFiles(facts: readonly FileFact[]): readonly Finding[] {
  return facts.flatMap(({ path, mode, allowed }): readonly Finding[] => {
    if ((mode & ~allowed) === 0) return []
    const may = (mode & 0o022) === 0 ? 'read' : 'write'
    return [
      {
        check: 'files',
        level: 'problem',
        message: `Others can ${may} ${path} (mode ${mode.toString(8)}).`,
        mend: `chmod ${allowed.toString(8)} ${path}`,
        fix: { kind: 'chmod', path, mode: allowed },
      },
    ]
  })
}

/** Lines of `authorized_keys` that count for nothing. */
export async function judgeKeys(directory: string): Promise<readonly Finding[]> {
  const { problems } = await new AuthorizedKeys(directory).read()
  return problems.map((problem) => ({
    check: 'keys',
    level: 'warning',
    message: `authorized_keys: ${problem}.`.replace(/\.\.$/, '.'),
    mend: `Mend or remove the line in ${join(directory, 'authorized_keys')}.`,
  }))
}

/** The key by which clients know this server. @throws {MypaasError} `degraded` when it can't be read */
export async function judgeIdentity(directory: string): Promise<readonly Finding[]> {
  if (await findServerKey(directory)) return []
  return [
    {
      check: 'identity',
      level: 'warning',
      message: 'This server has no key of its own: no client can tell it from another, so none talks to it.',
      mend: 'If clients know this server already, put server-key.json back from a backup; else: mypaas server init',
    },
  ]
}
