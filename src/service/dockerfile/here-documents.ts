import type { Problem } from '../problems.ts'
import { firstOther, isBlank, unquoteWord, words } from './words.ts'

/** Every instruction of a Dockerfile, as docker/dockerfile:1 and the engines know them. */
export const instructionNames: ReadonlySet<string> = new Set(
  'ADD ARG CMD COPY ENTRYPOINT ENV EXPOSE FROM HEALTHCHECK LABEL MAINTAINER ONBUILD RUN SHELL STOPSIGNAL USER VOLUME WORKDIR'.split(
    ' ',
  ),
)

type Found = Readonly<{ end: number; unclear: readonly Problem[] }>

/**
 * A function that gives, for an instruction whose last line is `index`, the index of the last line of its here-documents,
 * or `index` itself if it has none that is whole. It takes time in proportion to the file, whatever the file is.
 */
export function readHereDocuments(
  lines: readonly string[],
): (instruction: Readonly<{ line: number; text: string }>, index: number) => Found {
  let plain: Map<string, number> | undefined // text of a line → index of the last such line
  let untabbed: Map<string, number> | undefined
  return ({ line, text }, index) => {
    if (!/^(?:onbuild\s+)?(?:run|copy|add)\s.*<</is.test(text)) return { end: index, unclear: [] }
    plain ??= new Map(lines.map((content, at) => [content, at]))
    untabbed ??= new Map(lines.map((content, at) => [withoutTabs(content), at]))
    const names: string[] = []
    let end = index
    for (const word of words(text)) {
      const match = /^\d*<<(-?)([^<]+)$/.exec(word)
      if (!match) continue
      const name = unquoteWord(match[2] ?? '')
      names.push(name)
      if (((match[1] ? untabbed : plain).get(name) ?? -1) <= end)
        return { end: index, unclear: [notPlain(line, 'The here-document has no end')] }
      do end += 1
      while ((match[1] ? withoutTabs(lines[end] ?? '') : lines[end]) !== name)
    }
    const unclear =
      unclearStart(line, text, names) ?? (end === index ? undefined : unclearBody(line, lines, index + 1, end))
    return { end, unclear: unclear ? [unclear] : [] }
  }
}

/** Why it can't be told which here-documents start in an instruction, if so. */
function unclearStart(line: number, text: string, names: readonly string[]): Problem | undefined {
  const starts = possibleStarts(text)
  const found = starts.map((start) => plainStart.exec(text.slice(start, start + 200)))
  if (
    starts.length !== names.length ||
    found.some((match, index) => (match?.[1] ?? match?.[2] ?? match?.[3]) !== names[index])
  )
    return notPlain(line, 'It is not clear whether << starts a here-document')
  if (names.length === 0) return undefined
  if (names.some((name) => instructionNames.has(name.toUpperCase())))
    return notPlain(line, 'The here-document ends with the name of an instruction')
  if (/^onbuild/i.test(text)) return notPlain(line, 'ONBUILD has a here-document')
  const around = starts.reduceRight(
    (rest, start, index) => rest.slice(0, start) + rest.slice(start + (found[index]?.[0].length ?? 0)),
    text,
  )
  if (names.length > 1 && /["'`\\$]/.test(around))
    return notPlain(line, 'An instruction with more than one here-document has quotes, backslashes or variables')
  return undefined
}

const plainStart = /^<<-?(?:([A-Za-z_][\w.-]*)|"([A-Za-z_][\w.-]*)"|'([A-Za-z_][\w.-]*)')(?=[ \t]|$)/

/**
 * Where a `<<` stands at which a builder could see a start: behind a blank of whatever kind, or a number, also in quotes.
 * A third `<` makes it a here-string of the shell.
 */
function possibleStarts(text: string): number[] {
  const starts: number[] = []
  for (let at = text.indexOf('<<'); at >= 0; at = text.indexOf('<<', at + 1)) {
    if (text[at - 1] === '<' || text[at + 2] === '<') continue
    let before = at - 1
    while (/\d/.test(text[before] ?? '')) before -= 1
    if (!/[!-~]/.test(text[before] ?? '')) starts.push(at)
  }
  return starts
}

/**
 * A builder that sees no here-document takes its lines for instructions. It then refuses the file, as one of them is none
 * for certain; else the here-document is unclear.
 */
function unclearBody(line: number, lines: readonly string[], start: number, end: number): Problem | undefined {
  let goesOn = false
  let namesImages = false
  for (let index = start; index <= end; index += 1) {
    const text = lines[index] ?? ''
    const first = firstOther(text)
    if (text[first] === '#' || first === text.length) continue
    const began = goesOn
    goesOn = /[\\`][^!-~]*$/.test(text.slice(-200))
    const [word = '', keyword = ''] = /^([A-Za-z]*)[^\s\\`]*/.exec(text.slice(first)) ?? []
    const isWhole =
      word !== '' && (isBlank(text[first + word.length]) || (first + word.length === text.length && !goesOn))
    if (!began && isWhole && !instructionNames.has(keyword.toUpperCase())) {
      // If it is only the end that is none, then what is before it could be what it looks like to a person.
      if (index < end || !namesImages) return undefined
    }
    if (text.includes('<<')) break
    if (/^from|^(copy|add|run|onbuild)\s.*--/is.test(text.slice(first))) namesImages = true
  }
  return {
    line,
    message: 'The here-document reads as instructions of the Dockerfile',
    hint: 'Put its text into a file of its own and COPY it',
  }
}

function notPlain(line: number, message: string): Problem {
  return {
    line,
    message,
    hint: 'Write <<EOF behind a blank, with EOF alone on a line as its end; or put the text into a file',
  }
}

function withoutTabs(line: string): string {
  return line.replace(/^\t+/, '')
}
