import { readDirectives } from './directives.ts'
import { parsePublish } from './publish.ts'

/** Where what a spec has stands in the Dockerfile that it was read from: each list has a line for each entry. */
export type DirectiveLines = Readonly<
  Record<'urls' | 'volumes' | 'env' | 'publish' | 'startTimeout' | 'grace', readonly number[]>
>

/** The lines of what `parseSpec` reads from a Dockerfile without a problem. */
export function directiveLines(dockerfile: string): DirectiveLines {
  const { directives } = readDirectives(dockerfile)
  const linesOf = (wanted: string): number[] => directives.flatMap(({ key, line }) => (key === wanted ? [line] : []))
  return {
    urls: linesOf('url'),
    volumes: linesOf('volume'),
    env: linesOf('env'),
    startTimeout: linesOf('start_timeout'),
    grace: linesOf('grace'),
    publish: directives.flatMap(({ key, value, line }) =>
      key === 'publish' ? (parsePublish(value, () => {}) ?? []).map(() => line) : [],
    ),
  }
}
