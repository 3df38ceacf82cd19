import { seeded } from './seeded.ts'

/** `key = value` in a generated document: what it is called, and where it and its value are. */
export type Written = Readonly<{
  /** From the top; `undefined` in arrays, where nothing has a name of its own. */
  path: readonly string[] | undefined
  /** Its line or lines, with indent, comment and line break; `undefined` in an inline table. */
  lines: Readonly<{ start: number; end: number }> | undefined
  key: Readonly<{ start: number; end: number }>
  value: Readonly<{ start: number; end: number }>
  parts: number
}>

export type TomlDocument = Readonly<{
  text: string
  written: readonly Written[]
  tables: readonly (readonly string[])[]
}>

/**
 * A text that is TOML nearly always: tables by heads, dotted keys and inline tables, every kind of text, number, date and
 * array, comments wherever they may stand, `\n` or `\r\n`, and lines in texts that look like others.
 */
export function tomlDocument(seed: number): TomlDocument {
  return new Writer(seeded(seed)).document()
}

const names = ['env', 'services', 'blog', 'server', 'A', 'B', 'C', 'KEY', 'x-1', '1', 'true', 'inf', '1979-05-27']
const oddNames = [
  'a.b',
  'shop.api',
  '',
  ' ',
  '"',
  "'",
  '\\',
  ']',
  '[x]',
  '#',
  '=',
  'é',
  '\n',
  '\t',
  '\u{1f600}',
  '__proto__',
  'toString',
]
const words = [
  'x',
  ' ',
  '=',
  '#',
  '[env]',
  'A = "1"',
  '\\',
  "'",
  '"',
  ']',
  '}',
  ',',
  'é',
  '\u{1f600}',
  '\u2028',
  '$',
  '{{',
]

class Writer {
  readonly #random: () => number
  readonly #newline: string
  readonly #written: Written[] = []
  readonly #tables: (readonly string[])[] = []
  #text = ''
  #named = 0

  constructor(random: () => number) {
    this.#random = random
    this.#newline = random() < 0.2 ? '\r\n' : '\n'
  }

  document(): TomlDocument {
    if (this.#chance(0.05)) this.#text = '\uFEFF'
    this.#entries([], this.#chance(0.3) ? 2 : 0)
    for (let count = this.#upTo(6); count > 0; count -= 1) this.#table()
    if (this.#chance(0.1)) this.#text = this.#text.replace(/(?<=[^\n])\r?\n$/, '')
    return { text: this.#text, written: this.#written, tables: this.#tables }
  }

  #table(): void {
    this.#filler()
    const path = Array.from({ length: 1 + this.#upTo(3) }, () => this.#name())
    const isArray = this.#chance(0.12)
    const space = this.#space()
    const head = path.map((name) => space + this.#writeName(name) + space).join('.')
    this.#text += this.#indent() + (isArray ? `[[${head}]]` : `[${head}]`) + this.#lineEnd()
    if (!isArray) this.#tables.push(path)
    this.#entries(isArray ? undefined : path, this.#upTo(4))
  }

  #entries(above: readonly string[] | undefined, count: number): void {
    for (let left = count; left > 0; left -= 1) {
      this.#filler()
      const start = this.#text.length
      this.#text += this.#indent()
      const entry = this.#entry(above, 0)
      this.#text += this.#lineEnd()
      this.#written.push({ ...entry, lines: { start, end: this.#text.length } })
    }
  }

  #entry(above: readonly string[] | undefined, depth: number): Omit<Written, 'lines'> {
    const key = Array.from({ length: this.#chance(0.25) ? 2 + this.#upTo(1) : 1 }, () => this.#name())
    const path = above && [...above, ...key]
    const start = this.#text.length
    this.#text += key.map((name) => this.#writeName(name)).join(this.#pick(['.', '.', ' . ', '.\t']))
    const end = this.#text.length
    this.#text += this.#pick([' = ', '=', '\t=  '])
    const from = this.#text.length
    this.#value(path, depth)
    return { path, key: { start, end }, value: { start: from, end: this.#text.length }, parts: key.length }
  }

  #value(path: readonly string[] | undefined, depth: number): void {
    const kinds = [
      () => `"${this.#line().replaceAll(/["\\]/g, '\\$&')}"`,
      () => `"${this.#pick(['\\n', '\\U0001F600', '\\u00e9', '\\"', '\\\\'])}"`,
      () => `'${this.#line().replaceAll("'", '')}'`,
      () => `"""${this.#manyLines().replaceAll('\\', '\\\\').replaceAll('"""', '""\\"')}${this.#quotes('"')}"""`,
      () => `"""a \\${this.#newline}   b\\""" c"""`,
      () => `'''${this.#manyLines().replaceAll("'''", "''")}${this.#quotes("'")}'''`,
      () =>
        this.#pick([
          '0',
          '-17',
          '+1_000',
          '0xdead_beef',
          '0b101',
          '3.14',
          '-inf',
          '5e+22',
          '6.626e-34',
          'true',
          'false',
        ]),
      () =>
        this.#pick([
          '1979-05-27T07:32:00Z',
          '1979-05-27 07:32:00.5-07:00',
          '1979-05-27T07:32:00',
          '1979-05-27',
          '07:32:00',
        ]),
    ]
    if (depth < 3 && this.#chance(0.12)) this.#array(depth + 1)
    else if (depth < 3 && this.#chance(0.18)) this.#inline(path, depth + 1)
    else this.#text += this.#pick(kinds)()
  }

  #array(depth: number): void {
    const between = (): string =>
      this.#pick(['', '', ' ', this.#newline, ` # , ] "${this.#newline}\t`, `${this.#newline}${this.#newline}`])
    this.#text += `[${between()}`
    for (let left = this.#upTo(3); left > 0; left -= 1) {
      this.#value(undefined, depth)
      this.#text += between() + (left > 1 || this.#chance(0.3) ? `,${between()}` : '')
    }
    this.#text += ']'
  }

  #inline(path: readonly string[] | undefined, depth: number): void {
    this.#text += `{${this.#space()}`
    for (let left = this.#upTo(3); left > 0; left -= 1) {
      this.#written.push({ ...this.#entry(path, depth), lines: undefined })
      if (left > 1) this.#text += this.#pick([', ', ',', ' , '])
    }
    this.#text += `${this.#space()}}`
  }

  #filler(): void {
    while (this.#chance(0.35)) {
      const comment = this.#pick(['# [env]', '# A = "x"', '#', '# """', "\t# '''", '# é \u2028'])
      this.#text += (this.#chance(0.5) ? '' : this.#pick([comment, comment, '  '])) + this.#newline
    }
  }

  #lineEnd(): string {
    return this.#pick(['', '', '', ' ', ' # "it"', '#', ' # [env] A = 1', "\t# '''"]) + this.#newline
  }

  #writeName(name: string): string {
    if (/^[A-Za-z0-9_-]+$/.test(name) && this.#chance(0.8)) return name
    if (!/['\n]/.test(name) && this.#chance(0.4)) return `'${name}'`
    return this.#chance(0.2) ? `"${[...name].map(escaped).join('')}"` : JSON.stringify(name)
  }

  #manyLines(): string {
    return Array.from({ length: 1 + this.#upTo(3) }, () => this.#line()).join(this.#newline)
  }

  #line(): string {
    return Array.from({ length: this.#upTo(4) }, () => this.#pick(words)).join('')
  }

  #quotes(quote: string): string {
    return this.#chance(0.2) ? `x${quote.repeat(1 + this.#upTo(1))}` : 'x'
  }

  #name(): string {
    const name = this.#chance(0.2) ? this.#pick(oddNames) : this.#pick(names)
    this.#named += 1
    return this.#chance(0.6) ? name + this.#named : name
  }

  #indent(): string {
    return this.#pick(['', '', '', '  ', '\t'])
  }

  #space(): string {
    return this.#pick(['', '', ' '])
  }

  #chance(of: number): boolean {
    return this.#random() < of
  }

  #upTo(most: number): number {
    return Math.floor(this.#random() * (most + 1))
  }

  #pick<T>(from: readonly T[]): T {
    return from[Math.floor(this.#random() * from.length)] as T
  }
}

function escaped(char: string): string {
  return `\\U${(char.codePointAt(0) ?? 0).toString(16).padStart(8, '0')}`
}
