import { execFile } from 'node:child_process'
import { open } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { unpackPackage } from './apt.ts'
import { cache } from './cache.ts'
import type { RootfsEntry } from './rootfs.ts'

const run = promisify(execFile)

/** A static busybox as entries of an image: `/bin/busybox`, and each of its applets as a link in `/bin`. */
export async function busyboxEntries(): Promise<RootfsEntry[]> {
  const binary = await staticBusybox()
  const { stdout } = await run(binary, ['--list'])
  const applets = stdout.split('\n').filter((name) => name && name !== 'busybox')
  return [
    { kind: 'file', path: '/bin/busybox', from: binary, mode: 0o755 },
    ...applets.map((name): RootfsEntry => ({ kind: 'symlink', path: `/bin/${name}`, target: 'busybox' })),
  ]
}

/** The path of a static busybox: this machine's, else the one of Debian's package, fetched but not installed. */
async function staticBusybox(): Promise<string> {
  const fetched = join(cache, 'busybox-static', 'bin', 'busybox')
  for (const path of ['/bin/busybox', '/usr/bin/busybox', fetched]) if (await isStatic(path)) return path
  try {
    await unpackPackage('busybox-static', cache)
  } catch (cause) {
    throw new Error('No static busybox here. Install it (Debian, Ubuntu: apt-get install busybox-static)', { cause })
  }
  return fetched
}

/** Whether `path` is an ELF program that needs no interpreter (no program header of type PT_INTERP, 64 bit, little-endian). */
async function isStatic(path: string): Promise<boolean> {
  const file = await open(path).catch(() => undefined)
  if (!file) return false
  try {
    const bytes = Buffer.alloc(4096)
    const { bytesRead } = await file.read(bytes, 0, bytes.length, 0)
    if (bytesRead < 64 || bytes.readUInt32BE(0) !== 0x7f454c46 || bytes[4] !== 2) return false
    const start = Number(bytes.readBigUInt64LE(32))
    const size = bytes.readUInt16LE(54)
    const count = bytes.readUInt16LE(56)
    for (let i = 0; i < count; i++) {
      const at = start + i * size
      if (at + 4 > bytesRead || bytes.readUInt32LE(at) === 3) return false
    }
    return true
  } finally {
    await file.close()
  }
}
