import { posix } from 'node:path'
import { isSameImage, parseImageReference } from '../docker/image-reference.ts'
import type { BuildError } from '../docker/index.ts'
import { nearest } from '../nearest.ts'
import { instructionNames, readLimited, Steps, words } from '../service/dockerfile.ts'
import { DeployError } from './why.ts'

/** What was built. */
export type BuildSource = Readonly<{
  /** What the Dockerfile is called. */
  dockerfile: string
  dockerfileText: string
  /** Of the files and directories that the builder had. */
  paths: () => readonly string[]
}>

/** What is wrong, and what to do about it. */
type Explained = Readonly<{ message: string; hint?: string | undefined }>

/** An error of a build in our words, with the line of the Dockerfile; what the builder said follows. */
export function buildFailure(error: BuildError, from: BuildSource): DeployError {
  const said = { message: ends(error.message), step: error.step && ends(error.step), hint: error.hint }
  const own = syntaxProblem(said, from) ?? imageProblem(said, from) ?? fileProblem(said, from)
  const { message, hint } = own ?? fallback(error, from)
  const raw = message.includes(error.message) ? [] : error.message.split('\n').slice(-maxRawLines)
  return new DeployError(message, {
    hint: hint ?? error.hint,
    report: {
      container: 'the build',
      lastLines: error.lastLines.length > 0 ? error.lastLines : raw,
      ...(error.exitCode === undefined ? {} : { exitCode: error.exitCode }),
    },
    cause: error,
  })
}

const maxRawLines = 20

type Said = Readonly<{ message: string; step: string | undefined; hint: string | undefined }>

/** Builders repeat the command that failed, which may be of any length; what they say of it stands around it. */
function ends(text: string): string {
  return text.length <= 2 * maxSaid ? text : `${text.slice(0, maxSaid)}\n${text.slice(-maxSaid)}`
}

const maxSaid = 2_048

function fallback({ step, exitCode, message }: BuildError, { dockerfile, dockerfileText }: BuildSource): Explained {
  const line = step === undefined ? undefined : new Steps(dockerfileText).find(step)?.line
  const where =
    step === undefined ? 'The build failed' : `The build failed at ${step}${line ? ` (${dockerfile}:${line})` : ''}`
  if (exitCode !== undefined) return { message: `${where}, with exit code ${exitCode}.` }
  return { message: `${where}: ${withoutWay(message.split('\n').at(-1) ?? '')}` }
}

/** Without the names of the builder's parts that passed an error on. */
function withoutWay(message: string): string {
  return message.replace(
    /^(?:failed to solve(?: with frontend [\w.]+)?: |failed to create LLB definition: |rpc error: code = \w+ desc = )+/,
    '',
  )
}

function syntaxProblem({ message, hint }: Said, { dockerfile, dockerfileText }: BuildSource): Explained | undefined {
  if (/no build stage in current context|file with no instructions|Dockerfile.* cannot be empty/i.test(message)) {
    const [first] = new Steps(dockerfileText).all
    return {
      message: first
        ? `${dockerfile}:${first.line}: ${first.keyword} stands above any FROM, and nothing says which image it is for.`
        : `${dockerfile} has no instruction.`,
      hint: 'Begin with FROM IMAGE, or FROM scratch for an empty one.',
    }
  }
  const [, line, what = ''] = /dockerfile parse error (?:on )?line (\d+): ([^\n]*)/i.exec(message) ?? []
  if (line === undefined) return undefined
  const unknown = /unknown instruction: (\S+)/i.exec(what)?.[1]
  if (unknown === undefined) return { message: `${dockerfile}:${line}: ${what}.` }
  const meant = nearest(unknown, [...instructionNames])
  return {
    message: `${dockerfile}:${line}: ${unknown} is no instruction.`,
    hint: [meant === undefined ? '' : `Did you mean ${meant}?`, hint ?? ''].filter(Boolean).join(' '),
  }
}

const fetches =
  /(?:load metadata for |resolve image config for |docker-image:\/\/|\] FROM |^Step \d+\/\d+ ?: FROM (?:--\S+ )*)(\S+)/

function imageProblem({ step = '', message }: Said, from: BuildSource): Explained | undefined {
  const image = fetches.exec(step)?.[1] ?? /([^\s"]+): failed to resolve source metadata/.exec(message)?.[1]
  if (image === undefined) return undefined
  const at = `${from.dockerfile}${lineOfImage(image, from.dockerfileText)}`
  const name = image.replace(/^docker\.io\/(?:library\/)?/, '')
  const registry = parseImageReference(image)?.registry ?? 'its registry'
  const trouble =
    /lookup [^\n]*?(?:no such host|server misbehaving|i\/o timeout|try again)|Temporary failure in name resolution|network is unreachable|no route to host|connection (?:refused|reset)|TLS handshake timeout|(?:i\/o|request) timeout|deadline exceeded|Client\.Timeout|proxyconnect[^\n]*/i.exec(
      message,
    )?.[0]
  if (trouble !== undefined) {
    return {
      message: `${at}: the image ${name} is not here, and ${registry} can't be reached (${trouble}).`,
      hint: `Is the server online, and its DNS right? An image from elsewhere can be brought by hand: docker save ${name} | ssh SERVER docker load`,
    }
  }
  if (/x509|certificate/i.test(message)) {
    return {
      message: `${at}: the image ${name} is not here, and the certificate of ${registry} is not one that Docker trusts.`,
      hint: `Put its authority into /etc/docker/certs.d/${registry}/ca.crt on the server.`,
    }
  }
  if (/toomanyrequests|\b429\b/i.test(message)) {
    return {
      message: `${at}: ${registry} gives us no more images for now, so ${name} can't be had.`,
      hint: `Try later, or log in on the server, which has more: docker login${registry === 'docker.io' ? '' : ` ${registry}`}`,
    }
  }
  if (/no match for platform|no matching manifest/i.test(message)) {
    return {
      message: `${at}: there is no image ${name} for the kind of processor that this machine has.`,
      hint: 'Take another image, or a tag that is for several kinds.',
    }
  }
  if (/not found|manifest unknown|access denied|does not exist|name unknown|\b404\b/i.test(message)) {
    return {
      message: `${at}: there is no image ${name}, or it is private.`,
      hint: `Is it spelt right? If it is private, log in on the server: docker login${registry === 'docker.io' ? '' : ` ${registry}`}`,
    }
  }
  return undefined
}

function lineOfImage(image: string, dockerfile: string): string {
  const wanted = parseImageReference(image)
  const found = readLimited(dockerfile).images.find(({ reference }) => {
    const written = parseImageReference(reference)
    return reference === image || (written && wanted && isSameImage(written, wanted))
  })
  const line =
    found?.line ?? dockerfile.split('\n').findIndex((text) => /^#\s*syntax\s*=/i.test(text) && text.includes(image)) + 1
  return line > 0 ? `:${line}` : ''
}

function fileProblem({ step = '', message }: Said, from: BuildSource): Explained | undefined {
  const steps = new Steps(from.dockerfileText)
  const path =
    /"\/?([^"\n]+)":? not found/.exec(message)?.[1] ??
    /\bstat ([^:\n]+): (?:file does not exist|no such file)/.exec(message)?.[1]?.replace(/^.*buildkit-mount\d+\//, '')
  const isCopy = ({ keyword }: { keyword: string }): boolean => keyword === 'COPY' || keyword === 'ADD'
  const found = steps.find(step)
  const copy =
    found && isCopy(found)
      ? found
      : steps.all.find((one) => isCopy(one) && words(one.rest).some((word) => clean(word) === clean(path ?? '')))
  const isMissing = path !== undefined || /no source files were specified/.test(message)
  if (!copy || !isMissing) return undefined
  const what = path ?? words(copy.rest).slice(0, -1).join(' ')
  const at = `${from.dockerfile}:${copy.line}: ${copy.keyword} ${copy.rest}`
  const stage = copy.flags.find(({ name }) => name === 'from')?.value
  if (stage !== undefined) {
    return { message: `${at}: there is no ${what} in ${stage}.`, hint: 'Does an earlier line make it, at that path?' }
  }
  const near = nearPath(clean(what), from.paths())
  return {
    message: `${at}: there is no ${what} in the directory, or .dockerignore leaves it out.`,
    hint: near === undefined ? undefined : `Did you mean ${near}?`,
  }
}

function clean(path: string): string {
  return posix.normalize(path.replace(/^["']|["']$/g, '')).replace(/^\/+|\/+$/g, '')
}

/** The path that was most likely meant: of a name that is near in the same directory, or of the same name in another one. */
function nearPath(path: string, paths: readonly string[]): string | undefined {
  const directory = posix.dirname(path)
  const name = posix.basename(path)
  const beside = paths.filter((one) => posix.dirname(one) === directory).map((one) => posix.basename(one))
  const near = nearest(name, beside.slice(0, 1000))
  if (near !== undefined) return posix.join(directory, near)
  return paths.find((one) => posix.basename(one).toLowerCase() === name.toLowerCase())
}
