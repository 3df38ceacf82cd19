import { setImmediate } from 'node:timers/promises'
import { type Context, type ContextEntry, packEntries, type TarOptions } from '../context/index.ts'
import { textOf } from '../encoding.ts'
import { MypaasError } from '../errors.ts'
import type { ManifestEntry, ManifestIndex, ManifestReader } from '../push/manifest-reader.ts'
import type { BlobStore } from './blobs.ts'

const maxDockerfileBytes = 1024 * 1024

/**
 * A context whose files were pushed: the archive is made from manifest and blobs, nothing is unpacked anywhere. The same
 * files give the same bytes as the directory that they came from.
 * @throws {MypaasError} `context` when its Dockerfile can't be one
 */
export function pushedContext(
  index: ManifestIndex,
  { entries, blobs, dockerfile }: ManifestReader,
  store: BlobStore,
): Context {
  const bytesOf = function* (entry: ManifestEntry | undefined): Generator<Buffer, void> {
    for (const blob of entry?.blobs ?? []) yield store.read(blobs[blob]?.digest ?? '')
  }
  if (!dockerfile || dockerfile.size > maxDockerfileBytes) {
    throw new MypaasError(`${index.dockerfile} can't be a Dockerfile: it has ${dockerfile?.size ?? 0} bytes.`, {
      code: 'context',
    })
  }
  return {
    dockerfile: index.dockerfile,
    dockerfileText: textOf(Buffer.concat([...bytesOf(dockerfile)]), index.dockerfile, 'context').replace(/^\uFEFF/, ''),
    get entries() {
      return entries.map(contextEntry)
    },
    warnings: [],
    totalBytes: index.bytes,
    async *tar(options: TarOptions = {}) {
      // An entry is opened before the next one is asked for, so one of them at a time is enough.
      let current: ManifestEntry | undefined
      const list = function* (): Generator<ContextEntry, void> {
        for (const entry of entries) {
          if (options.builder === 'buildkit' && entry.ignored && entry.path === '.dockerignore') continue
          current = entry
          yield contextEntry(entry)
        }
      }
      let turn = performance.now()
      const open = async (): Promise<Iterable<Uint8Array>> => {
        if (performance.now() - turn > maxStallMs) {
          await setImmediate()
          turn = performance.now()
        }
        return bytesOf(current)
      }
      yield* packEntries(list(), open, options.signal ? { signal: options.signal } : {})
    },
  }
}

const maxStallMs = 15

function contextEntry(from: ManifestEntry): ContextEntry {
  const path = readable(from.path)
  const target = readable(from.linkTarget)
  return {
    path: path.text,
    type: from.type,
    mode: from.mode,
    mtimeMs: from.mtimeSeconds * 1000,
    size: from.size,
    ...(path.raw ? { rawPath: path.raw } : {}),
    ...(from.linkTarget === '' ? {} : { linkTarget: target.text }),
    ...(target.raw ? { rawLinkTarget: target.raw } : {}),
    ...(from.ignored ? { ignored: true as const } : {}),
  }
}

function readable(bytes: string): { text: string; raw?: Uint8Array } {
  for (let at = 0; at < bytes.length; at++) {
    if (bytes.charCodeAt(at) <= 0x7f) continue
    const raw = Buffer.from(bytes, 'latin1')
    const text = raw.toString()
    return text.includes('\uFFFD') && !Buffer.from(text).equals(raw) ? { text, raw } : { text }
  }
  return { text: bytes }
}
