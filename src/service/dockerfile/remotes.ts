import { type Problem, quote } from '../problems.ts'
import type { Instruction } from './instruction.ts'

/**
 * The sources of an `ADD` or `COPY` that a builder fetches from elsewhere. For `ADD`, it must be plain which those are;
 * `COPY` takes none, builders refuse it.
 * @see https://docs.docker.com/reference/dockerfile/#adding-files-from-a-url
 */
export function readSources({ keyword, rest }: Instruction): {
  remotes: readonly string[]
  problems: readonly Omit<Problem, 'line'>[]
} {
  const remotes: string[] = []
  const problems: Omit<Problem, 'line'>[] = []
  for (const source of sourcesOf(rest)) {
    const isPlain = !/["'`\\]/.test(source)
    // A variable in the first part of an address could make it lead anywhere.
    const literal = source.split('$', 1)[0] ?? ''
    const isLocal = /^(\.{0,2}\/|[\w-]*[^\w$:@-])/.test(literal) || (literal === source && /^[\w-]*$/.test(source))
    const isWhole = literal === source || /^[a-z]+:\/\/[\w.:-]+\//i.test(literal)
    if (isPlain && isLocal && !literal.includes('://')) continue
    if (isPlain && isWhole && /^[a-z]+:\/\/|^[\w.-]+@/i.test(source)) remotes.push(source)
    else if (keyword === 'ADD')
      problems.push({
        message: `It can't be told whether ADD takes ${quote(source)} from the context or from elsewhere`,
        hint: 'Write COPY, or ./ before a file, or https:// and the host in full',
      })
  }
  return { remotes, problems }
}

function sourcesOf(rest: string): string[] {
  if (rest.startsWith('[')) {
    try {
      const list: unknown = JSON.parse(rest)
      if (Array.isArray(list) && list.every((item) => typeof item === 'string') && !rest.includes('\\'))
        return list.slice(0, -1)
    } catch {
      // Then it counts as words, as for the builder; with quotes in them, they are not plain.
    }
    return [rest]
  }
  const sources = rest.split(/[ \t]+/).slice(0, -1)
  return sources.filter((source) => !source.startsWith('<<'))
}
