import { lstat, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { ownFiles } from '../../router/health.ts'
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

/** Every file and folder of mypaas's own, whatever made it; a person's own files for the router are theirs to open. */
export async function fileFacts(directory: string): Promise<readonly FileFact[]> {
  const facts: FileFact[] = []
  const look = async (name: string): Promise<void> => {
    const path = join(directory, name)
    const entry = await lstat(path).catch(() => undefined)
    if (!entry || entry.isSymbolicLink() || facts.length >= mostFacts) return
    const forRouter = /^traefik\/dynamic\/(.+)/.exec(name)?.[1]
    if (forRouter !== undefined && !ownFiles.test(forRouter)) return
    // The router runs as another user, and reads what is written for it by its group.
    const group = /^traefik(?!\/acme)(?:\/|$)/.test(name) ? 0o050 : 0
    const allowed = (0o700 | group) & (entry.isDirectory() ? 0o777 : 0o666)
    facts.push({ path, mode: entry.mode & 0o777, allowed })
    if (!entry.isDirectory()) return
    for (const child of await readdir(path).catch(() => [])) await look(name === '.' ? child : join(name, child))
  }
  await look('.')
  return facts
}

const mostFacts = 20_000

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
  return problems.map((problem) => {
    // What is wrong with the whole file comes with what mends it.
    const [, what, mend] = /^(.*)\. Mend it: (.*)$/.exec(problem) ?? []
    return {
      check: 'keys',
      level: 'warning',
      message: `authorized_keys: ${what ?? problem}.`.replace(/\.\.$/, '.'),
      mend: mend ?? `Mend or remove the line in ${join(directory, 'authorized_keys')}.`,
    }
  })
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
