import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'

/** What the stores below a folder take on the disk, by service; one that is not there takes nothing. */
export async function storeSizes(folder: string): Promise<Map<string, number>> {
  const entries = await readdir(folder, { withFileTypes: true }).catch(() => [])
  const services = entries.filter((entry) => entry.isDirectory()).map(({ name }) => name)
  return new Map(
    await Promise.all(services.map(async (service) => [service, await sizeOf(join(folder, service))] as const)),
  )
}

async function sizeOf(folder: string): Promise<number> {
  const files = (await readdir(folder).catch(() => [])).filter((name) => name.endsWith('.pack'))
  const sizes = await Promise.all(
    files.map(async (name) => (await stat(join(folder, name)).catch(() => undefined))?.size),
  )
  return sizes.reduce<number>((sum, size) => sum + (size ?? 0), 0)
}
