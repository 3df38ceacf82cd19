import { type Context, type EntryTable, isNotAscii, pathOf } from '../context/index.ts'
import { MypaasError } from '../errors.ts'
import { formatBytes } from '../units.ts'
import type { PushLimits } from './manifest.ts'

/** @throws {MypaasError} `context` when a context is larger than the server takes */
export function checkLimits({ totalBytes }: Context, table: EntryTable, limits: PushLimits): void {
  if (table.count <= limits.files && totalBytes <= limits.bytes) return
  throw new MypaasError(
    `The directory has ${table.count} files with ${formatBytes(totalBytes)}; the server takes ${limits.files} with ${formatBytes(limits.bytes)}.`,
    { code: 'context', hint: largest(table) },
  )
}

const manyBytes = 500 * 1024 ** 2
const manyFiles = 50_000

/** What may not be meant so, in words. */
export function contextWarnings(context: Context, table: EntryTable): { message: string; hint?: string }[] {
  const warnings: { message: string; hint?: string }[] = context.warnings.map((message) => ({ message }))
  if (context.totalBytes > manyBytes || table.count > manyFiles) {
    warnings.push({
      message: `The directory is large: ${table.count} files with ${formatBytes(context.totalBytes)}.`,
      hint: largest(table),
    })
  }
  return warnings
}

/** Which directories are the large ones, to be listed in .dockerignore if they are not meant to go. */
function largest(table: EntryTable): string {
  const sizes = new Map<string, { bytes: number; files: number }>()
  for (let index = 0; index < table.count; index++) {
    const size = table.sizes[index] as number
    const parts = pathOf(table, index).toString().split('/')
    for (let depth = 1; depth < Math.min(parts.length, 3); depth += 1) {
      const name = parts.slice(0, depth).join('/')
      const found = sizes.get(name) ?? { bytes: 0, files: 0 }
      sizes.set(name, { bytes: found.bytes + size, files: found.files + 1 })
    }
  }
  const top = [...sizes].sort(([, a], [, b]) => b.bytes - a.bytes || b.files - a.files).slice(0, 3)
  const list = top.map(([name, { bytes, files }]) => `${name}/ (${formatBytes(bytes)}, ${files} files)`).join(', ')
  return list === '' ? '' : `The largest: ${list}. What the build does not need belongs in .dockerignore.`
}

/** The first two paths that differ only in case. Those whose sums are the same are looked at as text, no others. */
export function sameButForCase(table: EntryTable): readonly [string, string] | undefined {
  const sums = new Uint32Array(table.count)
  const known = new Set<number>()
  const twice = new Set<number>()
  for (let index = 0; index < table.count; index++) {
    const sum = foldedSum(table, index)
    sums[index] = sum
    if (known.has(sum)) twice.add(sum)
    known.add(sum)
  }
  const seen = new Map<string, string>()
  for (let index = 0; twice.size > 0 && index < table.count; index++) {
    if (!twice.has(sums[index] as number)) continue
    const path = pathOf(table, index).toString()
    const other = seen.get(folded(path))
    if (other !== undefined) return [other, path]
    seen.set(folded(path), path)
  }
  return undefined
}

function folded(path: string): string {
  return path.normalize('NFC').toLowerCase()
}

/** The same for paths that are the same when folded; 30 bits, which are no object. */
function foldedSum(table: EntryTable, index: number): number {
  const isAscii = ((table.flags[index] as number) & isNotAscii) === 0
  const bytes = isAscii ? table.text : Buffer.from(folded(pathOf(table, index).toString()))
  const from = isAscii && index > 0 ? (table.ends[2 * index - 1] as number) : 0
  const end = isAscii ? (table.ends[2 * index] as number) : bytes.length
  let sum = 0x811c9dc5
  for (let at = from; at < end; at++) {
    const byte = bytes[at] as number
    sum = Math.imul(sum ^ (byte >= 0x41 && byte <= 0x5a ? byte + 32 : byte), 0x01000193)
  }
  return sum >>> 2
}
