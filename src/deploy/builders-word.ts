import { type ImageReference, isSameImage, parseImageReference } from '../docker/image-reference.ts'
import { type AnnouncedStep, BuildError, type BuildEvent, type BuildWatch } from '../docker/index.ts'
import { MypaasError } from '../errors.ts'
import { isKnownFrontend } from '../service/dockerfile.ts'

/**
 * The builder's own word of what a build is made from, held against what was allowed. BuildKit announces every step with
 * what it builds on before the first one begins, images under their full names, however the Dockerfile writes them. A
 * source that is not allowed, or a step of no known kind, ends the build; what a step prints is told when all that it is
 * made from is known.
 * @param images The names that may be used. Names of one image may differ: `node` is `docker.io/library/node:latest`.
 * @param downloadHosts From where the builder may download by https.
 */
export function watchBuild(images: readonly string[], downloadHosts: readonly string[] = []): BuildWatch {
  const allowed = images.flatMap((image) => parseImageReference(image) ?? [])
  const known = new Map<string, readonly string[]>()
  const cleared = new Set<string>()

  /** Whether a step and all that it is made from was announced, and so allowed. */
  function isKnown(id: string): boolean {
    const open = [id]
    const seen = new Set<string>()
    for (let next = open.pop(); next !== undefined; next = open.pop()) {
      if (cleared.has(next) || seen.has(next)) continue
      const inputs = known.get(next)
      if (!inputs) return false
      seen.add(next)
      open.push(...inputs)
    }
    for (const step of seen) cleared.add(step)
    return true
  }

  return {
    announced(step) {
      // It is announced again and again while it runs.
      if (known.has(step.id) && step.name === '') return
      const source = sourceOf(step)
      if (source.kind === 'unknown')
        throw surprise(`The builder does something that is not understood: ${source.what}.`)
      if (source.kind === 'remote' && !source.urls.every((url) => mayDownload(url, downloadHosts)))
        throw surprise(
          `The builder is to fetch ${source.what} from the server's own network.`,
          `Fetch it in a RUN, which has the network of a container, or put it into the directory. By ADD a limited key gets files by https from ${downloadHosts.join(', ') || 'nowhere'} ([server] download_hosts).`,
        )
      if (
        source.kind === 'image' &&
        !allowed.some((image) => isSameImage(image, source.image)) &&
        !isFrontend(source.image)
      )
        throw surprise(`The build uses the image ${source.what}, which was not seen in the Dockerfile.`)
      known.set(step.id, step.inputs)
    },
    mayTell: isKnown,
  }
}

/** A build that uses what it may not. */
export class SurpriseError extends MypaasError {
  override readonly name = 'SurpriseError'
}

/**
 * Whether the builder may fetch that: a file by https from a host that is known to lead nowhere else. Not a git
 * repository, whose submodules can be anywhere.
 */
function mayDownload(text: string, hosts: readonly string[]): boolean {
  const match = /^https:\/\/([a-z0-9.-]+)\/[\w./~%@:+=,&?-]*$/.exec(text)
  return match !== null && hosts.includes(match[1] ?? '') && !/\.git(?:[#?:/]|$)/i.test(text)
}

function surprise(what: string, hint?: string): SurpriseError {
  return new SurpriseError(`The build was stopped. ${what}`, {
    code: 'unauthorised',
    hint:
      hint ??
      'The key is limited to some services. Write plainly which images the build uses (FROM, COPY --from, --mount=from); somebody with an unlimited key can deploy this.',
  })
}

/** Passes events on without what a registry, or whoever listens in its place, said. */
export function withoutAnswers(onEvent: (event: BuildEvent) => void): (event: BuildEvent) => void {
  return (event) => {
    if (event.type !== 'step' || event.error === undefined || isCommand(event.name)) return onEvent(event)
    const { error: _, ...step } = event
    onEvent(step)
  }
}

/** An error of a build without what a registry, or whoever listens in its place, said. */
export function withoutAnswer(error: unknown): unknown {
  if (!(error instanceof BuildError)) return error
  const { step = '' } = error
  const isAnswer =
    step === '' ? /\b(?:dial|lookup|Get|Head|EOF|status|http|tls|x509)\b/i.test(error.message) : !isCommand(step)
  if (!isAnswer) return error
  const what = step === '' ? 'What the build is made from' : step.replace(/^\[[^\]]*\] /, '')
  return new BuildError(`${what}: it can't be fetched.`, { step, lastLines: [] })
}

/** Whether a step is a line of the Dockerfile that runs or copies, and not one that fetches. */
function isCommand(name: string): boolean {
  return /^\[[^\]]*\d+\/\d+\] (?!FROM\b)/.test(name)
}

type Source =
  | Readonly<{ kind: 'image'; what: string; image: ImageReference }>
  /** Something from the network that is no image. */
  | Readonly<{ kind: 'remote'; what: string; urls: readonly string[] }>
  /** Nothing from outside: a command, a copy of what is there already, the pushed files. */
  | Readonly<{ kind: 'inside' }>
  | Readonly<{ kind: 'unknown'; what: string }>

/**
 * What a step brings in, told by its name. The builder's own words stand at the beginning of each; what a Dockerfile can
 * choose comes only behind them.
 */
function sourceOf({ name, inputs }: AnnouncedStep): Source {
  const unknown = { kind: 'unknown', what: quoted(name) } as const
  const reference =
    /^(?:\[[^\]]*\] )?FROM (\S+)$/.exec(name)?.[1] ??
    /^\[internal\] load metadata for (\S+)$/.exec(name)?.[1] ??
    /^(?:resolve image config for )?docker-image:\/\/(\S+)$/.exec(name)?.[1] ??
    /^resolve image config for (\S+)$/.exec(name)?.[1]
  if (reference !== undefined) {
    const image = parseImageReference(reference)
    return image ? { kind: 'image', what: reference, image } : unknown
  }
  if (own.test(name)) return { kind: 'inside' }
  if (/^[a-z][a-z0-9+.-]*:\/\//i.test(name)) return { kind: 'remote', what: quoted(name), urls: [name] }
  const instruction = /^\[[^\]]*\d+\/\d+\] (?:LINK )?(RUN|WORKDIR|COPY|ADD)\b/.exec(name)?.[1]
  if (instruction === undefined) return unknown
  // What copies has something to copy from. Newer builders call a download like the instruction that it is for.
  if (inputs.length > 0 || (instruction !== 'COPY' && instruction !== 'ADD')) return { kind: 'inside' }
  const [, ...words] = name.replace(/^\[[^\]]*\] (?:LINK )?/, '').split(/\s+/)
  const urls = words.filter((word) => !word.startsWith('--')).slice(0, -1)
  return { kind: 'remote', what: quoted(words.join(' ')), urls: urls.length > 0 ? urls : [''] }
}

/** Steps of the builder itself, for which a Dockerfile chooses nothing. */
const own =
  /^(?:\[internal\] (?:load (?:remote build context|build context|build definition from \S+|\.dockerignore)|preparing inline document|settings? cache mount permissions)|\[auth\] .+|copy \/context \/|exporting to image|exporting layers)$/

/** The public Dockerfile language, which a `# syntax=` may name; from 1.2 on it keeps build caches apart. */
function isFrontend({ registry, repository, tag, digest }: ImageReference): boolean {
  if (registry !== 'docker.io' || repository !== 'docker/dockerfile') return false
  return isKnownFrontend(tag ?? '') && (digest === undefined || tag !== undefined)
}

function quoted(text: string): string {
  return JSON.stringify(text.length > 200 ? `${text.slice(0, 200)}…` : text)
}
