/** From where to where something stands in a text, in UTF-16 units. */
export type Span = Readonly<{ start: number; end: number }>

/** A name, or the number of a table of `[[tables]]`. */
export type TomlPath = readonly (string | number)[]

/** `key = value`, with its path from the top. */
export type TomlEntry = Readonly<{
  path: TomlPath
  /** The parts of the key as they are written, quotes included: one, or more where it has dots. */
  key: readonly Span[]
  value: Span
  /** What is in it, where the value is an inline table. */
  inline: readonly TomlEntry[] | undefined
}>

/** What stands below a head, `[a.b]`, up to the next one. */
export type TomlTable = Readonly<{
  path: TomlPath
  /** `[a.b]`, brackets included; empty for what stands above the first one. */
  head: Span
  entries: readonly TomlEntry[]
  /** Where the next head begins, or the text ends. */
  end: number
}>

/**
 * Where everything stands in a text that is TOML: the parser, which has to have read it before, keeps no positions.
 * Arrays are passed over as values.
 */
export function positions(text: string): readonly TomlTable[] {
  return new Scanner(text).tables()
}

/** The line on which a key or a table stands, or else what it would stand in; 1 for what is nowhere. */
export function lineOf(text: string, path: TomlPath): number {
  const places = positions(text).flatMap(({ path, head, entries }) => [
    ...(head.end > 0 ? [{ path, start: head.start }] : []),
    ...withInner(entries).map(({ path, key }) => ({ path, start: key[0]?.start ?? 0 })),
  ])
  for (let length = path.length; length > 0; length -= 1) {
    const outer = path.slice(0, length)
    const found =
      places.find(({ path }) => path.length === length && isWithin(path, outer)) ??
      places.find(({ path }) => isWithin(path, outer))
    if (found) return text.slice(0, found.start).split('\n').length
  }
  return 1
}

/** Entries, and those of inline tables in them. */
export function withInner(entries: readonly TomlEntry[]): readonly TomlEntry[] {
  return entries.flatMap((entry) => [entry, ...withInner(entry.inline ?? [])])
}

/** Whether a path is that of a table or of something in it. */
export function isWithin(path: TomlPath, table: TomlPath): boolean {
  return table.every((part, index) => path[index] === part)
}

class Scanner {
  readonly #text: string
  readonly #arrays = new Map<string, number>()
  #at: number

  constructor(text: string) {
    this.#text = text
    this.#at = text.startsWith('\uFEFF') ? 1 : 0
  }

  tables(): readonly TomlTable[] {
    const found: { path: TomlPath; head: Span; entries: TomlEntry[]; end: number }[] = []
    let table = { path: [] as TomlPath, head: { start: 0, end: 0 }, entries: [] as TomlEntry[], end: 0 }
    for (this.#skipBlank(); ; this.#skipBlank()) {
      const isHead = this.#text[this.#at] === '['
      if (isHead || this.#at >= this.#text.length) found.push({ ...table, end: this.#at })
      if (this.#at >= this.#text.length) return found
      if (isHead) table = { ...this.#head(), entries: [], end: 0 }
      else table.entries.push(this.#entry(table.path))
    }
  }

  #head(): Pick<TomlTable, 'path' | 'head'> {
    const start = this.#at
    const brackets = this.#text.startsWith('[[', start) ? 2 : 1
    this.#at += brackets
    const names = this.#key().map(({ name }) => name)
    this.#at += brackets
    return { path: this.#resolve(names, brackets === 2), head: { start, end: this.#at } }
  }

  /** A name of `[[tables]]` means the last of them; as a head of its own it begins another. */
  #resolve(names: readonly string[], isNew: boolean): TomlPath {
    const path: (string | number)[] = []
    for (const [index, name] of names.entries()) {
      path.push(name)
      const id = JSON.stringify(path)
      const begins = isNew && index === names.length - 1
      const count = (this.#arrays.get(id) ?? 0) + (begins ? 1 : 0)
      if (begins) this.#arrays.set(id, count)
      if (count > 0) path.push(count - 1)
    }
    return path
  }

  #entry(above: TomlPath): TomlEntry {
    const key = this.#key()
    const path = [...above, ...key.map(({ name }) => name)]
    this.#at += 1
    this.#skip(space)
    const start = this.#at
    const inline = this.#value(path)
    return { path, key: key.map(({ span }) => span), value: { start, end: this.#at }, inline }
  }

  /** A key, its dots, and the blanks around it. */
  #key(): readonly { name: string; span: Span }[] {
    const parts: { name: string; span: Span }[] = []
    for (;;) {
      this.#skip(space)
      const start = this.#at
      if (isQuote(this.#text[start])) this.#line()
      else this.#skip(bare)
      const span = { start, end: this.#at }
      parts.push({ name: nameOf(this.#text.slice(start, this.#at)), span })
      this.#skip(space)
      if (this.#text[this.#at] !== '.') return parts
      this.#at += 1
    }
  }

  /** @returns the entries of an inline table */
  #value(path: TomlPath): readonly TomlEntry[] | undefined {
    const first = this.#text[this.#at]
    if (first === '{') return this.#inline(path)
    if (first === '[') this.#array(path)
    else if (isQuote(first)) {
      if (this.#text.startsWith(first.repeat(3), this.#at)) this.#lines()
      else this.#line()
    } else {
      const start = this.#at
      this.#skip(plain)
      this.#at = start + this.#text.slice(start, this.#at).trimEnd().length
      if (this.#at === start) throw noToml()
    }
    return undefined
  }

  #inline(path: TomlPath): readonly TomlEntry[] {
    const entries: TomlEntry[] = []
    this.#at += 1
    for (this.#skip(space); this.#text[this.#at] !== '}'; this.#skip(space)) {
      this.#refuseEnd()
      if (this.#text[this.#at] === ',') this.#at += 1
      else entries.push(this.#entry(path))
    }
    this.#at += 1
    return entries
  }

  #array(path: TomlPath): void {
    this.#at += 1
    for (this.#skipBlank(); this.#text[this.#at] !== ']'; this.#skipBlank()) {
      this.#refuseEnd()
      if (this.#text[this.#at] === ',') this.#at += 1
      else this.#value(path)
    }
    this.#at += 1
  }

  /** Text in quotes on one line. */
  #line(): void {
    const quote = this.#text[this.#at]
    for (this.#at += 1; this.#text[this.#at] !== quote; this.#at += 1) {
      this.#refuseEnd()
      if (quote === '"' && this.#text[this.#at] === '\\') this.#at += 1
    }
    this.#at += 1
  }

  /** Text in three quotes. One or two more that stand before the last three belong to it. */
  #lines(): void {
    const quote = this.#text[this.#at] as string
    this.#at += 3
    for (let quotes = 0; quotes < 3; ) {
      this.#refuseEnd()
      for (quotes = 0; this.#text[this.#at + quotes] === quote; ) quotes += 1
      const isEscape = quote === '"' && this.#text[this.#at] === '\\'
      this.#at += quotes > 0 ? quotes : isEscape ? 2 : 1
    }
  }

  /** Blanks, empty lines and comments. */
  #skipBlank(): void {
    for (this.#skip(lines); this.#text[this.#at] === '#'; this.#skip(lines)) {
      const end = this.#text.indexOf('\n', this.#at)
      this.#at = end < 0 ? this.#text.length : end
    }
  }

  #skip(pattern: RegExp): void {
    pattern.lastIndex = this.#at
    pattern.test(this.#text)
    this.#at = pattern.lastIndex
  }

  #refuseEnd(): void {
    if (this.#at >= this.#text.length) throw noToml()
  }
}

// Each of these matches anywhere, if only nothing.
const space = /[ \t]*/y
const lines = /[ \t\r\n]*/y
const bare = /[A-Za-z0-9_-]*/y
/** Numbers, dates, `true`; a date can have a blank in it. */
const plain = /[^,\]}#\r\n]*/y

function isQuote(char: string | undefined): char is string {
  return char === '"' || char === "'"
}

/** As JSON writes it but for `\U0001F600`, and blanks that are tabs. */
function nameOf(written: string): string {
  if (written.startsWith("'")) return written.slice(1, -1)
  if (!written.startsWith('"')) return written
  const json = written.replace(/\\(U[0-9A-Fa-f]{8}|.)/g, (pair) =>
    pair.startsWith('\\U')
      ? JSON.stringify(String.fromCodePoint(Number.parseInt(pair.slice(2), 16))).slice(1, -1)
      : pair,
  )
  return JSON.parse(json.replaceAll('\t', '\\t')) as string
}

function noToml(): TypeError {
  return new TypeError('Positions are of a text that is TOML, which this is not.')
}
