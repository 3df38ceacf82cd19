import { stat } from 'node:fs/promises'
import { basename, dirname } from 'node:path'
import { type Context, readContext } from '../src/context/index.ts'

/** The context of a directory, or of one of several Dockerfiles in it: `DIR` or `DIR/Dockerfile.worker`. */
export async function openContext(path: string, signal: AbortSignal): Promise<Context> {
  const isFile = await stat(path).then(
    (found) => found.isFile(),
    () => false,
  )
  return isFile ? readContext(dirname(path), { dockerfile: basename(path), signal }) : readContext(path, { signal })
}
