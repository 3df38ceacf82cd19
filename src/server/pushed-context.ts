import { setImmediate } from 'node:timers/promises'
import { type Context, type ContextEntry, packEntries, type TarOptions } from '../context/index.ts'
import { MypaasError } from '../errors.ts'
import type { ManifestEntry, ManifestIndex, ManifestReader } from '../push/manifest.ts'
import type { BlobStore } from './blobs.ts'

const maxDockerfileBytes = 1024 * 1024

/**
 * A context whose files were pushed: the archive is made from manifest and blobs, nothing is unpacked anywhere. The same
 * files give the same bytes as the directory that they came from.
 * @throws {MypaasError} `context` when its Dockerfile can't be one
 */
export function pushedContext(index: ManifestIndex, { entries, blobs }: ManifestReader, store: BlobStore): Context {
  const sources = new Map<ContextEntry, ManifestEntry>()
  for (const entry of entries) sources.set(contextEntry(entry), entry)
  const list = [...sources.keys()]
  const bytesOf = function* (entry: ContextEntry): Generator<Buffer, void> {
    for (const blob of sources.get(entry)?.blobs ?? []) yield store.read(blobs[blob]?.digest ?? '')
  }
  const dockerfile = list.find(({ path }) => path === index.dockerfile)
  if (!dockerfile || dockerfile.size > maxDockerfileBytes) {
    throw new MypaasError(`${index.dockerfile} can't be a Dockerfile: it has ${dockerfile?.size ?? 0} bytes.`, {
      code: 'context',
    })
  }
  return {
    dockerfile: index.dockerfile,
    dockerfileText: Buffer.concat([...bytesOf(dockerfile)])
      .toString()
      .replace(/^\uFEFF/, ''),
    entries: list,
    warnings: [],
    totalBytes: index.bytes,
    async *tar(options: TarOptions = {}) {
      const isKept = ({ ignored, path }: ContextEntry): boolean =>
        options.builder !== 'buildkit' || !(ignored && path === '.dockerignore')
      let turn = performance.now()
      const open = async (entry: ContextEntry): Promise<Iterable<Uint8Array> | Uint8Array> => {
        if (performance.now() - turn > maxStallMs) {
          await setImmediate()
          turn = performance.now()
        }
        return bytesOf(entry)
      }
      yield* packEntries(list.filter(isKept), open, options.signal ? { signal: options.signal } : {})
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
    ...(from.type === 'symlink' ? { linkTarget: target.text } : {}),
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
