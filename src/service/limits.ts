import type { Directive } from './directives.ts'
import { DirectiveError, type Problem } from './problems.ts'

/** What a Dockerfile may have at most, whoever sends it: reading one takes a moment, however it is written. */
const maxDockerfileBytes: number = 1024 * 1024

/** How often directives may stand that may stand often; `publish` counts its ports. */
const maxLines: Readonly<Record<string, number>> = { volume: 100, url: 100, env: 1000 }

/** @throws {DirectiveError} for a Dockerfile that is too large to be read */
export function refuseLarge(dockerfile: string, options: { file?: string | undefined }): void {
  const bytes = Buffer.byteLength(dockerfile)
  if (bytes <= maxDockerfileBytes) return
  throw new DirectiveError(
    [
      {
        line: 1,
        message: `The file has ${(bytes / 1024 / 1024).toFixed(1)} MiB, at most 1 MiB is read`,
        hint: 'Put what is content of files into files and COPY them',
      },
    ],
    options,
  )
}

/** The directives without those that are too many, and a problem for the first of each such key. */
export function withinLimits(directives: readonly Directive[]): {
  directives: readonly Directive[]
  problems: readonly Problem[]
} {
  const counts = new Map<string, number>()
  const problems: Problem[] = []
  const kept = directives.filter(({ key, line }) => {
    const max = Object.hasOwn(maxLines, key) ? maxLines[key] : undefined
    if (max === undefined) return true
    const count = (counts.get(key) ?? 0) + 1
    counts.set(key, count)
    if (count === max + 1)
      problems.push({
        line,
        message: `mypaas.${key}: with this line there are more than ${max} of them`,
        hint: 'Leave some out',
      })
    return count <= max
  })
  return { directives: kept, problems }
}
