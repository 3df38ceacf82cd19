import type { Problem } from '../problems.ts'
import { type ImageReference, type Remote, readImages } from './images.ts'
import { scanDockerfile } from './scan.ts'

/** What a Dockerfile takes from elsewhere. Nothing else, as far as `problems` is empty. */
export type LimitedReading = Readonly<{
  images: readonly Pick<ImageReference, 'line' | 'reference'>[]
  remotes: readonly Remote[]
  problems: readonly Problem[]
}>

/**
 * Reads a Dockerfile for a key that may not reach everything. What is not plain is not guessed at but a problem, with its
 * line and with what to write instead: whatever a builder made of it, it names no image that is not among `images`.
 *
 * Comments, the text of commands and labels, and here-documents may have any bytes.
 */
export function readLimited(dockerfile: string): LimitedReading {
  const scan = scanDockerfile(dockerfile)
  const { images, remotes, unclear } = readImages(scan)
  const problems = [...scan.unclear, ...unclear].sort((a, b) => a.line - b.line)
  return { images: images.map(({ line, reference }) => ({ line, reference })), remotes, problems }
}

/**
 * Why an `ONBUILD` instruction that a base image brings is not harmless: it names an image, an address, or is not plain.
 * It says what `it` is or does; nothing for one that is harmless.
 */
export function triggerProblem(trigger: string): string | undefined {
  const { images, remotes, problems } = readLimited(`FROM scratch\nONBUILD ${trigger}`)
  const [problem] = problems
  if (trigger.includes('\n')) return 'it has more than one line'
  if (problem) return `it is not plain: ${problem.message}`
  const named = images[0]?.reference ?? remotes[0]?.url
  return named === undefined ? undefined : `it names ${named}`
}
