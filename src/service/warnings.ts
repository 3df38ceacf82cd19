import { scanDockerfile } from './dockerfile.ts'
import { urlWarnings } from './url-warnings.ts'

/**
 * What is to be minded of a Dockerfile, in sentences with their lines; nothing of what is wrong with it.
 * @param file What the sentences call the file; `Dockerfile` unless given.
 */
export function dockerfileWarnings(dockerfile: string, file = 'Dockerfile'): readonly string[] {
  return [...headWarnings(dockerfile, file), ...urlWarnings(dockerfile, file)]
}

/**
 * Parser directives below the lines in which the builder looks for them, but above the first instruction: our own comments
 * are easily put above them.
 * @see https://docs.docker.com/reference/dockerfile/#parser-directives
 */
function headWarnings(dockerfile: string, file: string): readonly string[] {
  const { comments, instructions } = scanDockerfile(dockerfile)
  const first = instructions[0]?.line ?? Number.POSITIVE_INFINITY
  const name = ({ text }: { text: string }): string | undefined => parserDirective.exec(text)?.[1]?.toLowerCase()
  const head = comments.filter(({ line }) => line < first)
  const inPlace = head.findIndex((comment, index) => comment.line !== index + 1 || name(comment) === undefined)
  return (inPlace < 0 ? [] : head.slice(inPlace)).flatMap((comment) => {
    const found = name(comment)
    if (found === undefined) return []
    return [
      `${file}:${comment.line}: # ${found}= counts only in the first lines of the file, above every other comment and empty line: here the builder takes it for a comment. Move it to line 1.`,
    ]
  })
}

const parserDirective = /^[ \t]*#[ \t]*(syntax|escape)[ \t]*=[ \t]*\S+[ \t]*$/i
