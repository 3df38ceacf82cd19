import { stat } from 'node:fs/promises'
import { basename, dirname } from 'node:path'
import { type Context, readContext } from '../src/context/index.ts'

/** The context of a directory, or of one of several Dockerfiles in it: `DIR` or `DIR/Dockerfile.worker`. */
export async function openContext(path: string, signal: AbortSignal): Promise<Context> {
  const root = await rootOf(path)
  return root === path ? readContext(path, { signal }) : readContext(root, { dockerfile: basename(path), signal })
}

/** The directory that is meant: that of a Dockerfile, or the path itself, also where there is none. */
export async function rootOf(path: string): Promise<string> {
  const isFile = await stat(path).then(
    (found) => found.isFile(),
    () => false,
  )
  return isFile ? dirname(path) : path
}
