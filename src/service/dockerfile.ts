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

/** An image that a build starts from or takes files of. */
export type BaseImage = Readonly<{
  /** As written, variables replaced: `node:22`, `registry.example.com/app@sha256:…`. */
  image: string
  /** E.g. `linux/arm64`; absent for the engine's own. */
  platform?: string
  /** Named by the tag `latest`, or by none, which is the same: a newer one may be there. */
  newest: boolean
}>

/**
 * The images that a Dockerfile names in `FROM`, `COPY --from=` and `RUN --mount=…,from=`, each once, in order. Stages of
 * its own and `scratch` are none; nor is one whose name depends on a variable that has no default.
 */
export function baseImages(dockerfile: string): readonly BaseImage[] {
  const found = new Map<string, BaseImage>()
  const stages = new Set<string>()
  const defaults = new Map<string, string>()
  const add = (written: string, platform: string | undefined): void => {
    const image = replaceVariables(unquoteWord(written), defaults)
    if (image === undefined || image === 'scratch' || stages.has(image.toLowerCase()) || /^\d+$/.test(image)) return
    const given = platform === undefined ? undefined : replaceVariables(unquoteWord(platform), defaults)
    const key = `${image} ${given ?? ''}`
    const newest = !image.includes('@') && !/:(?!latest$)[^/]*$/.test(image)
    if (!found.has(key)) found.set(key, { image, newest, ...(given === undefined ? {} : { platform: given }) })
  }
  for (const { text } of scanDockerfile(dockerfile).instructions) {
    const [keyword = '', ...rest] = words(text)
    const flags = rest.filter((word) => word.startsWith('--'))
    const plain = rest.filter((word) => !word.startsWith('--'))
    switch (keyword.toUpperCase()) {
      case 'ARG':
        // Only those above the first FROM count for it.
        if (stages.size === 0 && found.size === 0) {
          const [name = '', value] = splitAt(unquoteWord(plain[0] ?? ''), '=')
          if (value !== undefined) defaults.set(name, value)
        }
        break
      case 'FROM': {
        const platform = flags.find((flag) => flag.startsWith('--platform='))?.slice('--platform='.length)
        if (plain[0] !== undefined) add(plain[0], platform)
        if (plain[1]?.toUpperCase() === 'AS' && plain[2] !== undefined) stages.add(unquoteWord(plain[2]).toLowerCase())
        break
      }
      case 'COPY':
      case 'ADD': {
        const from = flags.find((flag) => flag.startsWith('--from='))
        if (from !== undefined) add(from.slice('--from='.length), undefined)
        break
      }
      case 'RUN':
        for (const flag of flags) {
          const from = flag.startsWith('--mount=') ? /[=,]from=([^,]+)/.exec(flag)?.[1] : undefined
          if (from !== undefined) add(from, undefined)
        }
        break
      default:
        break
    }
  }
  return [...found.values()]
}

/** `$NAME`, `${NAME}` and `${NAME:-default}` replaced; `undefined` when one has no value. */
function replaceVariables(text: string, values: ReadonlyMap<string, string>): string | undefined {
  let isKnown = true
  const replaced = text.replace(
    /\$(?:\{(\w+)(?::?-([^}]*))?\}|(\w+))/g,
    (_, braced: string | undefined, fallback: string | undefined, bare: string | undefined) => {
      const value = values.get(braced ?? bare ?? '') ?? fallback
      if (value === undefined) isKnown = false
      return value ?? ''
    },
  )
  return isKnown && !replaced.includes('$') ? replaced : undefined
}

function splitAt(text: string, mark: string): [string, string | undefined] {
  const index = text.indexOf(mark)
  return index < 0 ? [text, undefined] : [text.slice(0, index), text.slice(index + 1)]
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
