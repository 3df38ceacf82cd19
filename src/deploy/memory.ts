import { join } from 'node:path'
import { appendPrivately, privateFolder, readIfThere, writeDurably } from '../files.ts'
import { placesOf } from './places.ts'

/** That a replica ran out of memory, as the engine told it. */
export type OutOfMemory = Readonly<{
  /** ISO time. */
  at: string
  release: number
  replica: number
  /** Of its first process, where that ended by it; another of its processes can be the one that was killed. */
  exitCode?: number
}>

/** Of what was noted no more than that is kept; a release that runs out of memory every minute fills it in a day. */
const maxBytes = 128 * 1024
/** The engine tells of one want of memory more than once, and of the end of the process apart from it. */
const sameMs = 5_000

/** Notes it: a container that was started again does not know any more. One writer, the daemon. */
export async function noteOutOfMemory(directory: string, service: string, found: OutOfMemory): Promise<void> {
  const { folder } = placesOf(directory, service)
  await privateFolder(folder)
  const file = fileOf(directory, service)
  await appendPrivately(file, `${JSON.stringify(found)}\n`)
  const text = (await readIfThere(file)) ?? ''
  if (text.length <= maxBytes) return
  await writeDurably(file, text.slice(text.indexOf('\n', text.length - maxBytes / 2) + 1), { scratch: folder })
}

/** Each time that a replica of a release ran out of memory, oldest first, as far as it is known. */
export async function readOutOfMemory(
  directory: string,
  service: string,
  release: number,
): Promise<readonly OutOfMemory[]> {
  // Whatever is wrong with the file is no reason to tell nothing of the service.
  const text = await readIfThere(fileOf(directory, service)).catch(() => undefined)
  const found: OutOfMemory[] = []
  for (const line of (text ?? '').split('\n')) {
    const one = parse(line)
    if (one?.release !== release) continue
    const same = found.findLastIndex(({ replica, at }) => replica === one.replica && distanceMs(at, one.at) < sameMs)
    const before = found[same]
    if (before) found[same] = { ...one, ...before }
    else found.push(one)
  }
  return found
}

function parse(line: string): OutOfMemory | undefined {
  try {
    const found = JSON.parse(line) as OutOfMemory
    return Number.isFinite(Date.parse(found.at)) && Number.isInteger(found.replica) ? found : undefined
  } catch {
    return undefined
  }
}

function distanceMs(a: string, b: string): number {
  return Math.abs(Date.parse(a) - Date.parse(b))
}

function fileOf(directory: string, service: string): string {
  return join(placesOf(directory, service).folder, 'memory.jsonl')
}
