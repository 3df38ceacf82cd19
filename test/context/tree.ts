import { execFile, execFileSync } from 'node:child_process'
import { chmodSync, lutimesSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import type { TestContext } from 'node:test'
import { promisify } from 'node:util'

/** What to put at a path: text or bytes, `null` for a directory, or more. */
export type Planted =
  | string
  | Uint8Array
  | null
  | { content?: string | Uint8Array; directory?: boolean; link?: string; mode?: number; mtimeMs?: number }

/** A directory with these files, gone after the test. */
export function plant(t: Pick<TestContext, 'after'>, files: Readonly<Record<string, Planted>>): string {
  const root = mkdtempSync(join(tmpdir(), 'mypaas-context-'))
  // Unlike Node, rm copes with paths that are longer than the system takes.
  t.after(() => execFileSync('rm', ['-rf', root]))
  plantIn(root, files)
  return root
}

export function plantIn(root: string, files: Readonly<Record<string, Planted>>): void {
  for (const [path, planted] of Object.entries(files)) {
    const file = join(root, path)
    const given =
      planted === null
        ? { directory: true }
        : typeof planted === 'object' && !(planted instanceof Uint8Array)
          ? planted
          : { content: planted }
    mkdirSync(given.directory ? file : dirname(file), { recursive: true })
    if (given.link !== undefined) symlinkSync(given.link, file)
    else if (!given.directory) writeFileSync(file, given.content ?? '')
    if (given.mode !== undefined) chmodSync(file, given.mode)
    if (given.mtimeMs === undefined) continue
    // Node takes a negative number for now.
    const time = new Date(given.mtimeMs)
    if (given.link !== undefined) lutimesSync(file, time, time)
    else utimesSync(file, time, time)
  }
}

/** Many small files in directories of 100: more than are listed or packed without a worker. */
export function plantMany(root: string, count: number, content: (index: number) => string | Uint8Array = String): void {
  for (let index = 0; index < count; index++) {
    const directory = join(root, `directory-${Math.floor(index / 100)}`)
    if (index % 100 === 0) mkdirSync(directory, { recursive: true })
    writeFileSync(join(directory, `file-${index}.txt`), content(index))
  }
}

export async function collect(parts: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const all: Uint8Array[] = []
  for await (const part of parts) all.push(part)
  return Buffer.concat(all)
}

/** Unpacks with GNU tar into a new directory, which the test removes at its end. */
export async function unpack(t: Pick<TestContext, 'after'>, archive: Uint8Array): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), 'mypaas-unpacked-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  writeFileSync(join(folder, 'archive.tar'), archive)
  mkdirSync(join(folder, 'files'))
  const { stderr } = await promisify(execFile)('tar', [
    '--warning=no-timestamp',
    // Between a/ and a/x, in the order of their bytes, lies a-b/: tar would take a/ for done there.
    '--delay-directory-restore',
    '-xpf',
    join(folder, 'archive.tar'),
    '-C',
    join(folder, 'files'),
  ])
  if (stderr !== '') throw new Error(`tar complains: ${stderr}`)
  return join(folder, 'files')
}

/** Type, permissions, size of files, whole seconds, link target and path of everything in a directory. */
export async function inventory(root: string): Promise<string[]> {
  const { stdout } = await promisify(execFile)(
    'find',
    [
      '.',
      '-mindepth',
      '1',
      '(',
      '-type',
      'f',
      '-printf',
      '%s ',
      '-o',
      '-printf',
      '- ',
      ')',
      '-printf',
      '%y %m %Ts %l %P\\n',
    ],
    { cwd: root, maxBuffer: 1 << 26, encoding: 'latin1' },
  )
  // Whole seconds as the archive has them, rounded down; find cuts off.
  return stdout.split('\n').filter(Boolean).sort()
}

/** Throws unless both directories hold the same files with the same bytes. */
export async function assertSameFiles(one: string, other: string): Promise<void> {
  await promisify(execFile)('diff', ['-r', '--no-dereference', one, other])
}
