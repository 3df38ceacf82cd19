import TOML from '@ltd/j-toml'
import { strayMark, withoutMark } from '../encoding.ts'
import { MypaasError } from '../errors.ts'
import { variableName } from '../service/settings.ts'
import { parseBytes, parseDuration } from '../units.ts'
import { lineOf, type TomlPath } from './toml-positions.ts'

type Table = Readonly<Record<string, unknown>>

/**
 * Settings in TOML, read key by key. What is wrong is noted with its line, so that a person hears of everything at once;
 * a key that nobody asked for is wrong, too.
 */
export class SettingsReader {
  readonly root: Section
  readonly #text: string
  readonly #file: string
  readonly #problems: { line: number; message: string }[] = []

  /** @throws {MypaasError} `usage` when the text is not TOML */
  constructor(text: string, file: string) {
    this.#text = text
    this.#file = file
    this.root = new Section(parseToml(text, file), [], (path, message) => {
      this.#problems.push({ line: lineOf(this.#text, path), message })
    })
  }

  /** To be called when everything was read. @throws {MypaasError} `usage` with every problem and its line */
  end(): void {
    this.root.refuseUnknown()
    if (this.#problems.length === 0) return
    const lines = this.#problems
      .toSorted((a, b) => a.line - b.line)
      .map(({ line, message }) => `${this.#file}:${line}: ${message}`)
    throw new MypaasError(lines.join('\n'), { code: 'usage', hint: `Mend ${this.#file} and run this again.` })
  }
}

type Fail = (path: TomlPath, message: string) => void

/** One table. Each method reads one key; the key is allowed from then on. */
export class Section {
  readonly #table: Table
  readonly #path: TomlPath
  readonly #fail: Fail
  readonly #asked = new Set<string>()
  readonly #sections: Section[] = []

  constructor(table: Table, path: TomlPath, fail: Fail) {
    this.#table = table
    this.#path = path
    this.#fail = fail
  }

  keys(): readonly string[] {
    return Object.keys(this.#table)
  }

  /** Notes a problem of a key. */
  fail(key: string, message: string): void {
    this.#fail([...this.#path, key], message)
  }

  section(key: string): Section {
    const value = this.#value(key)
    if (value !== undefined && !isTable(value))
      this.fail(key, `${this.#name(key)} must be a table: [${this.#name(key)}]`)
    return this.#open([key], isTable(value) ? value : {})
  }

  /** The tables of `[[key]]`. */
  sections(key: string): readonly Section[] {
    const value = this.#value(key) ?? []
    if (Array.isArray(value) && value.every(isTable)) {
      return value.map((table, index) => this.#open([key, index], table))
    }
    this.fail(key, `${this.#name(key)} must be tables: [[${this.#name(key)}]]`)
    return []
  }

  text(key: string, fallback: string, grammar: RegExp, what: string): string {
    return this.#read(key, fallback, what, (value) =>
      typeof value === 'string' && grammar.test(value) ? value : undefined,
    )
  }

  /** The absolute path of a file, which must be given. */
  path(key: string): string {
    const value = this.text(key, '', /^\/./, 'the absolute path of a file')
    if (this.#table[key] === undefined) this.fail(key, `${this.#name(key)} is missing`)
    return value
  }

  oneOf<const T extends string>(key: string, fallback: T, choices: readonly T[]): T {
    const what = choices.map((choice) => JSON.stringify(choice)).join(' or ')
    return this.#read(key, fallback, what, (value) => choices.find((choice) => choice === value))
  }

  flag(key: string, fallback: boolean): boolean {
    return this.#read(key, fallback, 'true or false', (value) => (typeof value === 'boolean' ? value : undefined))
  }

  whole(key: string, fallback: number, min: number, max: number): number {
    return this.#read(key, fallback, `a whole number from ${min} to ${max}`, (value) =>
      typeof value === 'number' && Number.isInteger(value) && value >= min && value <= max ? value : undefined,
    )
  }

  /** @returns milliseconds */
  duration(key: string, fallbackMs: number): number {
    return this.#read(key, fallbackMs, 'a duration such as "10s", "500ms" or "5m"', (value) =>
      typeof value === 'string' ? parseDuration(value) : undefined,
    )
  }

  bytes(key: string, fallback: number): number {
    return this.#read(key, fallback, 'a size such as "10m"', (value) =>
      typeof value === 'string' ? parseBytes(value) : undefined,
    )
  }

  /** @param example How such a list is written. */
  list(key: string, isRight: (text: string) => boolean, what: string, example: string): readonly string[] {
    const value = this.#value(key) ?? []
    if (!Array.isArray(value)) {
      this.fail(key, `${this.#name(key)} must be a list: ${example}`)
      return []
    }
    return (value as unknown[]).filter((item): item is string => {
      if (typeof item === 'string' && isRight(item)) return true
      this.fail(key, `${this.#name(key)}: ${JSON.stringify(item)} is ${what}`)
      return false
    })
  }

  /** @param example How such a list is written. */
  ports(key: string, example: string): readonly number[] {
    const value = this.#value(key) ?? []
    const isPort = (item: unknown): item is number =>
      Number.isInteger(item) && Number(item) > 0 && Number(item) < 65_536
    if (Array.isArray(value) && value.every(isPort)) return value
    this.fail(key, `${this.#name(key)} must be a list of ports, whole numbers from 1 to 65535: ${example}`)
    return []
  }

  /** Every key of this table as the name of an environment variable. Messages never have the values: they are secrets. */
  variables(): Readonly<Record<string, string>> {
    const result: [string, string][] = []
    for (const key of this.keys()) {
      const value = this.#value(key)
      if (!variableName.test(key)) this.fail(key, `${key} is no name of an environment variable`)
      else if (isTable(value)) this.fail(key, `${key} must be text, and a name with dots in quotes: "${key}.…" = "…"`)
      else if (typeof value === 'string') result.push([key, value])
      else this.fail(key, `${key} must be text: put it in quotes`)
    }
    return Object.fromEntries(result)
  }

  refuseUnknown(): void {
    const where = this.#path.length === 0 ? 'at the top' : `in [${shown(this.#path)}]`
    for (const key of this.keys()) {
      if (this.#asked.has(key)) continue
      this.fail(key, `There is no setting ${key} ${where}; there are ${[...this.#asked].join(', ')}`)
    }
    for (const section of this.#sections) section.refuseUnknown()
  }

  #open(path: TomlPath, table: Table): Section {
    const section = new Section(table, [...this.#path, ...path], this.#fail)
    this.#sections.push(section)
    return section
  }

  #read<T>(key: string, fallback: T, what: string, parse: (value: unknown) => T | undefined): T {
    const value = this.#value(key)
    if (value === undefined) return fallback
    const result = parse(value)
    if (result !== undefined) return result
    this.fail(key, `${this.#name(key)} must be ${what}`)
    return fallback
  }

  #value(key: string): unknown {
    this.#asked.add(key)
    return this.#table[key]
  }

  #name(key: string): string {
    return shown([...this.#path, key])
  }
}

/** `router.certificates[0].key` */
function shown(path: TomlPath): string {
  return path.map((part, at) => (typeof part === 'number' ? `[${part}]` : `${at > 0 ? '.' : ''}${part}`)).join('')
}

function isTable(value: unknown): value is Table {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** TOML text → its tables. @throws {MypaasError} `usage` with the line, never with what stands there */
export function parseToml(text: string, file = 'config.toml'): Table {
  try {
    return TOML.parse(text.replace(/^\uFEFF/, ''), { joiner: '\n', bigint: false }) as Table
  } catch (error) {
    // The parser's own message quotes the line, which may hold a secret: only the place is passed on.
    const line = /line (\d+)/.exec(String(error))?.[1] ?? '?'
    if (/^[ \t]*\uFEFF/.test(text.split('\n')[Number(line) - 1] ?? '')) {
      throw new MypaasError(`${file}:${line}: ${strayMark}.`, { code: 'usage', hint: withoutMark(file, line) })
    }
    const twice = /^\w*:? ?Duplicate (Table|property) definition/.exec(String(error))?.[1]
    if (twice !== undefined) {
      throw new MypaasError(
        `${file}:${line}: this ${twice === 'Table' ? 'table' : 'key'} stands in the file already.`,
        {
          code: 'usage',
          hint: `Put what is in both into one of them. Mend ${file} and run this again.`,
        },
      )
    }
    throw new MypaasError(`${file}:${line}: this is not TOML.`, {
      code: 'usage',
      hint: `Text goes in double quotes, each setting has a line of its own. Mend ${file} and run this again.`,
    })
  }
}
