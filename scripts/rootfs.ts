import { createReadStream } from 'node:fs'
import { stat } from 'node:fs/promises'
import { posix } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { type Pack, pack } from 'tar-stream'

/** One thing in a root file system. Paths are absolute; folders above them come by themselves (0755, owner root). */
export type RootfsEntry = Readonly<
  | { kind: 'directory'; path: string; mode?: number }
  | { kind: 'text'; path: string; text: string; mode?: number }
  | { kind: 'file'; path: string; from: string; mode?: number }
  | { kind: 'symlink'; path: string; target: string }
>

/**
 * Packs a root file system as a tar archive, the way `POST /images/create?fromSrc=-` takes it: owner root, no times,
 * so the same entries give the same bytes.
 */
export async function* rootfs(entries: readonly RootfsEntry[]): AsyncGenerator<Uint8Array, void, undefined> {
  const archive = pack()
  const written = writeAll(archive, entries).catch((error: Error) => archive.destroy(error))
  for await (const chunk of archive) yield chunk as Uint8Array
  await written
}

/** What every image here has: `/tmp`, `/root`, the users root and nobody, and the CA certificates of this machine. */
export function baseEntries(): RootfsEntry[] {
  return [
    { kind: 'directory', path: '/tmp', mode: 0o1777 },
    { kind: 'directory', path: '/root', mode: 0o700 },
    {
      kind: 'text',
      path: '/etc/passwd',
      text: 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/bin/false\n',
    },
    { kind: 'text', path: '/etc/group', text: 'root:x:0:\nnogroup:x:65534:\n' },
    { kind: 'text', path: '/etc/nsswitch.conf', text: 'hosts: files dns\n' },
    { kind: 'file', path: '/etc/ssl/certs/ca-certificates.crt', from: '/etc/ssl/certs/ca-certificates.crt' },
  ]
}

async function writeAll(archive: Pack, entries: readonly RootfsEntry[]): Promise<void> {
  const known = new Set(['/', ...entries.filter((entry) => entry.kind === 'directory').map((entry) => entry.path)])
  for (const entry of entries) {
    for (const folder of foldersAbove(entry.path)) {
      if (known.has(folder)) continue
      known.add(folder)
      await write(archive, { kind: 'directory', path: folder })
    }
    await write(archive, entry)
  }
  archive.finalize()
}

function foldersAbove(path: string): string[] {
  const above = posix.dirname(path)
  return above === '/' ? [] : [...foldersAbove(above), above]
}

async function write(archive: Pack, entry: RootfsEntry): Promise<void> {
  const header = { name: entry.path.slice(1), mtime: new Date(0) }
  switch (entry.kind) {
    case 'directory':
      archive.entry({ ...header, type: 'directory', mode: entry.mode ?? 0o755 })
      return
    case 'text':
      archive.entry({ ...header, mode: entry.mode ?? 0o644 }, entry.text)
      return
    case 'symlink':
      archive.entry({ ...header, type: 'symlink', linkname: entry.target, mode: 0o777 })
      return
    case 'file': {
      const { size, mode } = await stat(entry.from)
      const bytes = archive.entry({ ...header, size, mode: entry.mode ?? mode & 0o777 })
      await pipeline(createReadStream(entry.from, { highWaterMark: 1024 * 1024 }), bytes)
    }
  }
}
