import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { lstat, readFile, readlink, stat } from 'node:fs/promises'
import { join } from 'node:path'

/** Where a directory comes from: a commit of git, and whether its files are others than those of it. */
export type Commit = Readonly<{
  /** In hex: 40 digits, or 64. */
  id: string
  /** Something in the directory was changed, added or removed since, besides what git ignores. */
  changed: boolean
}>

/** How long git may take for each answer. */
const gitMs = 5_000

/**
 * The commit that a directory is of; `undefined` when it is of none, when git is not there, or does not say.
 *
 * A directory may come from anywhere, and its git's settings name programs (hooks, filters, a file system monitor). None of
 * them runs: asked are only commands that look at no content, and what they could be set to run is set to nothing.
 */
export async function commitOf(directory: string, signal?: AbortSignal): Promise<Commit | undefined> {
  const git = (...args: string[]): Promise<string> => ask(directory, args, signal)
  try {
    const [id, tracked] = await Promise.all([
      git('rev-parse', '--verify', '--end-of-options', 'HEAD^{commit}'),
      git('ls-files', '--stage', '--debug', '-z', '--', '.'),
    ])
    // A directory that only lies in somebody's repository, say their home, is of none of its commits.
    if (tracked === '' || !isCommit(id.trim())) return undefined
    const [staged, added] = await Promise.all([
      git('diff-index', '--cached', '--ignore-submodules=all', '--no-renames', '-z', 'HEAD', '--', '.'),
      git('ls-files', '--others', '--exclude-standard', '-z', '--', '.'),
    ])
    const changed =
      staged !== '' || added !== '' || (await differs(directory, tracked, await indexTime(git, directory)))
    return { id: id.trim(), changed }
  } catch {
    return undefined
  }
}

/** Whether it is written as the id of a commit. */
export function isCommit(text: string): boolean {
  return /^(?:[0-9a-f]{40}|[0-9a-f]{64})$/.test(text)
}

function ask(directory: string, args: readonly string[], signal: AbortSignal | undefined): Promise<string> {
  const settings = [
    'core.fsmonitor=false',
    'core.hooksPath=/dev/null',
    'core.sshCommand=false',
    'credential.helper=',
    'protocol.allow=never',
    'submodule.recurse=false',
  ].flatMap((setting) => ['-c', setting])
  // Those of a hook that calls us are about another command; what a person or CI sets for git stays.
  const inherited = Object.entries(process.env).filter(([name]) => !/^GIT_(?!CONFIG)/.test(name))
  const env = {
    ...Object.fromEntries(inherited),
    GIT_OPTIONAL_LOCKS: '0',
    GIT_NO_LAZY_FETCH: '1',
    GIT_NO_REPLACE_OBJECTS: '1',
    GIT_ALLOW_PROTOCOL: 'none',
    GIT_TERMINAL_PROMPT: '0',
    LC_ALL: 'C',
  }
  const options = {
    cwd: directory,
    env,
    timeout: gitMs,
    maxBuffer: 512 * 1024 ** 2,
    encoding: 'latin1' as const,
    signal,
  }
  return new Promise((resolve, reject) => {
    const child = execFile('git', ['--literal-pathspecs', ...settings, ...args], options, (error, stdout) =>
      error ? reject(error) : resolve(stdout),
    )
    child.stdin?.end()
  })
}

/** When git last wrote its index: a file that was written at that moment may be another since. */
async function indexTime(git: (...args: string[]) => Promise<string>, directory: string): Promise<number> {
  const file = Buffer.from((await git('rev-parse', '--git-path', 'index')).replace(/\n$/, ''), 'latin1').toString()
  const { mtimeMs } = await stat(file.startsWith('/') ? file : join(directory, file))
  return mtimeMs
}

/** A file in git's index, and how it was when git looked at it. */
type Tracked = Readonly<{ mode: string; id: string; path: string; mtime: string; size: number; isAbsent: boolean }>

async function differs(directory: string, tracked: string, indexMs: number): Promise<boolean> {
  for (const file of readTracked(tracked)) if (await isChanged(directory, file, indexMs)) return true
  return false
}

/** `100644 ID 0⇥path␀  ctime: …\n  mtime: S:NS\n  dev: …\n  uid: …\n  size: N⇥flags: X\n`, one after the other. */
function* readTracked(text: string): Generator<Tracked> {
  const entry =
    /(\d{6}) ([0-9a-f]+) \d\t([^\0]*)\0 +ctime: .*\n +mtime: (\d+:\d+)\n +dev: .*\n +uid: .*\n +size: (\d+)\tflags: ([0-9a-f]+)\n/gy
  let end = 0
  for (const [all, mode = '', id = '', path = '', mtime = '', size, flags = '0'] of text.matchAll(entry)) {
    end += all.length
    // Left out of the directory on purpose (sparse checkout).
    const isAbsent = (Number.parseInt(flags, 16) & skipWorktree) !== 0
    yield { mode, id, path, mtime, size: Number(size), isAbsent }
  }
  if (end !== text.length) throw new Error('git lists its index in another way')
}

const skipWorktree = 0x4000_0000
const submodule = '160000'
const link = '120000'

async function isChanged(directory: string, file: Tracked, indexMs: number): Promise<boolean> {
  if (file.mode === submodule || file.isAbsent) return false
  const path = Buffer.concat([Buffer.from(`${directory}/`), Buffer.from(file.path, 'latin1')])
  let found: Awaited<ReturnType<typeof lstat>> & { mtimeNs: bigint }
  try {
    found = (await lstat(path, { bigint: true })) as unknown as typeof found
  } catch {
    return true
  }
  const isLink = found.isSymbolicLink()
  if (isLink !== (file.mode === link) || !(isLink || found.isFile())) return true
  const isProgram = (Number(found.mode) & 0o100) !== 0
  if (!isLink && process.platform !== 'win32' && isProgram !== (file.mode === '100755')) return true
  const ns = 1_000_000_000n
  const isSeen =
    `${found.mtimeNs / ns}:${found.mtimeNs % ns}` === file.mtime &&
    Number(found.size) % 2 ** 32 === file.size &&
    Number(found.mtimeNs / 1_000_000n) < Math.floor(indexMs)
  if (isSeen) return false
  const content = isLink ? await readlink(path, { encoding: 'buffer' }) : await readFile(path)
  const hash = createHash(file.id.length === 40 ? 'sha1' : 'sha256')
  return hash.update(`blob ${content.length}\0`).update(content).digest('hex') !== file.id
}
