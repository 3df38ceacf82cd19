import type { WriteStream } from 'node:tty'
import { colors } from 'consola/utils'
import { VisibleStream, visible, visibleJson, visibleOutput } from '../src/visible.ts'

/**
 * The one place that writes to stdout and stderr. A string may have anything in it (names, messages of servers and engines,
 * what programs wrote): nothing of it reaches a terminal as more than letters. Only {@link Styled} text has escapes: ours.
 */
export type Text = string | Styled

/** Text with colours, made by {@link styled} and its colours from text that can do no harm. As a string it has none. */
export class Styled {
  readonly #painted: string
  readonly #bare: string

  private constructor(painted: string, bare: string) {
    this.#painted = painted
    this.#bare = bare
  }

  static of(text: Text): Styled {
    if (text instanceof Styled) return text
    const shown = visible(text)
    return new Styled(shown, shown)
  }

  /** What a program wrote: its colours are kept, nothing else. */
  static output(text: string): Styled {
    return new Styled(visibleOutput(text, { colours: hasColours }), visibleOutput(text, { colours: false }))
  }

  static painted(text: Text, paint: (text: string) => string): Styled {
    const { painted, bare } = Styled.parts(text)
    return new Styled(paint(painted), bare)
  }

  static joined(parts: readonly Text[]): Styled {
    const all = parts.map(Styled.parts)
    return new Styled(all.map(({ painted }) => painted).join(''), all.map(({ bare }) => bare).join(''))
  }

  static parts(text: Text): { painted: string; bare: string } {
    const of = Styled.of(text)
    return { painted: of.#painted, bare: of.#bare }
  }

  toString(): string {
    return this.#bare
  }
}

/** A template whose values are {@link Text}: `` styled`${green('✓')} ${message}` ``. */
export function styled(words: TemplateStringsArray, ...values: readonly (Text | number)[]): Styled {
  const parts = words.flatMap((word, index) => {
    const value = values[index]
    return value === undefined ? [word] : [word, typeof value === 'number' ? String(value) : value]
  })
  return Styled.joined(parts)
}

export const bold = (text: Text): Styled => Styled.painted(text, colors.bold)
export const dim = (text: Text): Styled => Styled.painted(text, colors.dim)
export const green = (text: Text): Styled => Styled.painted(text, colors.green)
export const red = (text: Text): Styled => Styled.painted(text, colors.red)
export const yellow = (text: Text): Styled => Styled.painted(text, colors.yellow)

/** consola's word on it: a terminal, and nobody asked for none. */
const hasColours = colors.red('x') !== 'x'

/** A line of data. */
export function print(line: Text): void {
  process.stdout.write(`${Styled.parts(line).painted}\n`)
}

/** A line for who looks on. */
export function progress(line: Text): void {
  process.stderr.write(`${Styled.parts(line).painted}\n`)
}

/** A value for a program, as it is. */
export function printJson(value: unknown): void {
  process.stdout.write(`${visibleJson(JSON.stringify(value))}\n`)
}

/** A line that a service wrote: for a terminal harmless, for a pipe or a file as it was written. */
export function printRaw(to: 'stdout' | 'stderr', prefix: Text, text: string): void {
  const stream = process[to]
  const { painted } = Styled.parts(prefix)
  if (!stream.isTTY) stream.write(`${painted}${text}\n`)
  else for (const line of visibleOutput(text, { colours: hasColours }).split('\n')) stream.write(`${painted}${line}\n`)
}

/** What another library of ours made with colours of its own: citty's help. */
export function printHelp(text: string): void {
  process.stdout.write(`${text}\n`)
}

export function clearScreen(): void {
  process.stdout.write('\u001b[2J\u001b[H')
}

/** The last line of stderr, which moves. */
export function writeMovingLine(text: Text): void {
  process.stderr.write(Styled.parts(text).painted)
}

export function clearMovingLine(): void {
  process.stderr.write('\r\u001b[2K')
}

/**
 * Where bytes of a command go that runs elsewhere. With a terminal of its own they are for ours to obey; without one they
 * are for a pipe or a file as they are, and for a terminal harmless.
 */
export function byteWriter(
  to: 'stdout' | 'stderr',
  options: { tty: boolean },
): { write: (data: Uint8Array) => boolean; end: () => void; stream: WriteStream } {
  const stream = process[to]
  if (options.tty || !stream.isTTY) return { write: (data) => stream.write(data), end: () => {}, stream }
  const filter = new VisibleStream({ colours: hasColours })
  return {
    write: (data) => stream.write(filter.add(data)),
    end: () => {
      const rest = filter.end()
      if (rest !== '') stream.write(rest)
    },
    stream,
  }
}
