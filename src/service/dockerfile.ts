/** One line of a Dockerfile, or an instruction with its continuation lines joined; `line` is where it starts, from 1. */
export type Line = Readonly<{ line: number; text: string }>

/**
 * Splits a Dockerfile into what Docker takes for comments and what it takes for instructions. A comment may stand
 * between the lines of a continued instruction; the lines of a here-document are neither, they are file content.
 *
 * A here-document whose end is missing is not one: then its lines count as usual, so that nothing gets lost unseen
 * (Docker refuses such a file when it builds).
 * @see https://docs.docker.com/reference/dockerfile/#format
 * @see https://docs.docker.com/reference/dockerfile/#here-documents
 */
export function scanDockerfile(
  dockerfile: string,
): Readonly<{ comments: readonly Line[]; instructions: readonly Line[] }> {
  const lines = dockerfile.replace(/^\uFEFF|\r$/g, '').split(/\r?\n/)
  const comments: Line[] = []
  const instructions: Line[] = []
  const endOf = hereDocumentEnds(lines)
  let escapeMark = '\\'
  let head = true // the mark may only be set above the first line that sets nothing
  let open: { line: number; text: string } | undefined

  for (let index = 0; index < lines.length; index += 1) {
    const text = lines[index] ?? ''
    const trimmed = text.trim()
    if (head) {
      const setting = /^#\s*(syntax|escape|check)\s*=(.*)/i.exec(trimmed)
      if (!setting) head = false
      else if (setting[1]?.toLowerCase() === 'escape' && setting[2]?.trim() === '`') escapeMark = '`'
    }
    if (trimmed.startsWith('#')) {
      comments.push({ line: index + 1, text })
      continue
    }
    if (trimmed === '') continue

    open ??= { line: index + 1, text: '' }
    const continued = beforeContinuation(text, escapeMark)
    if (continued !== undefined) {
      open.text += continued
      continue
    }
    open.text += text
    instructions.push({ line: open.line, text: open.text.trim() })
    index = endOf(open.text.trim(), index)
    open = undefined
  }
  if (open) instructions.push({ line: open.line, text: open.text.trim() })
  return { comments, instructions }
}

/** Whether a base image is asked for by its `latest` tag: then the build should look for a newer one. */
export function wantsNewestBase(dockerfile: string): boolean {
  return scanDockerfile(dockerfile).instructions.some(({ text }) => {
    const [keyword, ...rest] = words(text)
    const image = rest.find((word) => !word.startsWith('--'))
    return keyword?.toUpperCase() === 'FROM' && image !== undefined && /:latest(@|$)/.test(unquoteWord(image))
  })
}

/** The keys that a `LABEL` instruction sets, as far as they stand in the text; none for any other instruction. */
export function labelKeys(instruction: string): readonly string[] {
  const [keyword, ...rest] = words(instruction.replace(/^onbuild\s+/i, ''))
  if (keyword?.toUpperCase() !== 'LABEL') return []
  // Without a `=` in its first word, this is the old form of one label: LABEL key value
  const pairs = rest[0]?.includes('=') ? rest : rest.slice(0, 1)
  return pairs.map((pair) => unquoteWord(pair.split('=', 1)[0] ?? ''))
}

/** The line without the escape character at its end that continues it; `undefined` if it has none there. */
function beforeContinuation(line: string, escapeMark: string): string | undefined {
  let end = line.length
  while (line[end - 1] === ' ' || line[end - 1] === '\t') end -= 1
  return line[end - 1] === escapeMark ? line.slice(0, end - 1) : undefined
}

/**
 * A function that gives, for an instruction that ends at `index`, the index of the last line of its here-documents,
 * or `index` itself if it has none that is whole. It takes time in proportion to the file, whatever the file is.
 */
function hereDocumentEnds(lines: readonly string[]): (instruction: string, index: number) => number {
  let plain: Map<string, number> | undefined // text of a line → index of the last such line
  let untabbed: Map<string, number> | undefined
  return (instruction, index) => {
    if (!/^(?:onbuild\s+)?(?:run|copy|add)\s.*<</is.test(instruction)) return index
    plain ??= new Map(lines.map((line, at) => [line, at]))
    untabbed ??= new Map(lines.map((line, at) => [withoutTabs(line), at]))
    let end = index
    for (const word of words(instruction)) {
      const match = /^\d*<<(-?)([^<]+)$/.exec(word)
      if (!match) continue
      const name = unquoteWord(match[2] ?? '')
      if (((match[1] ? untabbed : plain).get(name) ?? -1) <= end) return index
      do end += 1
      while ((match[1] ? withoutTabs(lines[end] ?? '') : lines[end]) !== name)
    }
    return end
  }
}

function withoutTabs(line: string): string {
  return line.replace(/^\t+/, '')
}

/** Words as the builder's shell splits them: by blanks outside of quotes. The quotes stay. */
function words(text: string): string[] {
  return text.match(/(?:"(?:\\.|[^"\\])*"|'[^']*'|\\.|[^\s"'\\]|["'\\])+/gs) ?? []
}

function unquoteWord(word: string): string {
  return word.replace(/["']/g, '')
}
