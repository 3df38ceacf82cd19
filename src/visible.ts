/**
 * Makes text from elsewhere (names, messages, what programs wrote) harmless for a terminal and honest for its reader: what
 * comes out has no control characters but line breaks and tabs, so nothing that moves the cursor, sets the title, rewrites
 * what stands there or answers on the keyboard's behalf; and nothing invisible, so none that turns text round either.
 * What it has of these is shown as a sign: `␛` for Escape, `\u202e` for one that has no sign. A carriage return ends a line.
 */
export function visible(text: string): string {
  return isPlain(text) ? text : text.replace(returns, '\n').replace(unseen, sign)
}

/** The same for text that has to stay within its line, such as a cell of a table: line breaks and tabs are signs, too. */
export function visibleLine(text: string): string {
  return isPlain(text) && !/[\n\t]/.test(text) ? text : text.replace(unseenInLine, sign)
}

/**
 * The same for what a program wrote. Its sequences for a terminal are left out, so that progress bars stay readable.
 * @param options.colours keeps its colours; they end with each line
 */
export function visibleOutput(text: string, options: { colours: boolean }): string {
  const stream = new VisibleStream(options)
  return stream.add(text) + stream.end()
}

/** {@link visibleOutput} of what comes in pieces, which may cut a sequence or a character anywhere. */
export class VisibleStream {
  readonly #colours: boolean
  readonly #decoder = new TextDecoder()
  /** The beginning of a sequence, or a carriage return that a line feed may follow. */
  #rest = ''
  #isColoured = false

  constructor(options: { colours: boolean }) {
    this.#colours = options.colours
  }

  add(piece: string | Uint8Array): string {
    const text = this.#rest + (typeof piece === 'string' ? piece : this.#decoder.decode(piece, { stream: true }))
    const end = text.length - (unfinished.exec(text.slice(-maxSequence))?.[0].length ?? 0)
    this.#rest = text.slice(end)
    return this.#show(text.slice(0, end))
  }

  /** What is left at the end. */
  end(): string {
    const rest = this.#rest + this.#decoder.decode()
    this.#rest = ''
    return this.#show(rest) + this.#reset()
  }

  #show(text: string): string {
    if (!this.#isColoured && isPlain(text)) return text
    return text.replace(returns, '\n').replace(sequencesAndUnseen, (found, colours: string | undefined) => {
      if (found === '\n') return `${this.#reset()}\n`
      if (colours !== undefined) return this.#colours ? this.#colour(colours) : ''
      return found.length > 1 && startsSequence.test(found) ? '' : sign(found)
    })
  }

  #colour(parameters: string): string {
    const codes = plainColours(parameters)
    if (codes.length === 0) return ''
    this.#isColoured = codes.at(-1) !== '0'
    return `\u001b[${codes.join(';')}m`
  }

  #reset(): string {
    if (!this.#isColoured) return ''
    this.#isColoured = false
    return '\u001b[0m'
  }
}

/** JSON says the same with escapes in place of what a terminal would take for controls, or not show. */
export function visibleJson(json: string): string {
  return isPlain(json)
    ? json
    : json.replace(unseenInLine, (found) =>
        [...Array(found.length).keys()].map((at) => escapeUnit(found.charCodeAt(at))).join(''),
      )
}

/** Printable ASCII, line feeds and tabs: most of what is ever written. */
function isPlain(text: string): boolean {
  return /^[\n\t -~]*$/.test(text)
}

const returns = /\r\n?/g

/** What Unicode calls format, a separator of lines, or ignorable; but for what makes a sign black and white or coloured. */
const invisible = String.raw`[[\p{Cf}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}]--[\ufe0e\ufe0f]]`
const unseen = new RegExp(String.raw`[\p{Cc}--[\n\t]]|${invisible}`, 'gv')
const unseenInLine = new RegExp(String.raw`\p{Cc}|${invisible}`, 'gv')

/** The longest sequence that is left out as one. */
const maxSequence = 4096
const inString = String.raw`[^\p{Cc}]{0,${maxSequence}}`
/** As ECMA-48 and xterm have them, with 7 and with 8 bits: parameters of a CSI, strings with their end, the others. */
const csi = String.raw`(?:\x1b\[|\x9b)`
const string = String.raw`(?:\x1b[\]P_\^X]|[\x90\x98\x9d\x9e\x9f])${inString}`
const sequences = [
  String.raw`${csi}[0-\?]*[ -\/]*[@-~]`,
  String.raw`${string}(?:\x07|\x9c|\x1b\\)`,
  String.raw`\x1b[ -\/]+[0-~]`,
  String.raw`\x1b[0-OQ-WYZ\\\x60-~]`,
].join('|')
const startsSequence = /^\p{Cc}/u
const sequencesAndUnseen = new RegExp(
  String.raw`\n|${csi}([\d;:]{0,64})m|${sequences}|[\p{Cc}--[\n\t]]|${invisible}`,
  'gv',
)
const unfinished = new RegExp(String.raw`(?:${csi}[0-\?]*[ -\/]*|${string}\x1b?|\x1b[ -\/]*|\r)$`, 'v')

/** The codes of a colour sequence that can hide nothing and don't blink. */
function plainColours(parameters: string): string[] {
  const given = parameters.split(';')
  const codes: string[] = []
  for (let at = 0; at < given.length; at += 1) {
    const code = given[at] === '' ? '0' : (given[at] as string)
    if (code === '38' || code === '48') {
      const more = given[at + 1] === '5' ? 2 : given[at + 1] === '2' ? 4 : 0
      const colour = given.slice(at + 1, at + 1 + more)
      if (more === 0 || colour.length < more || !colour.every((part) => /^\d{1,3}$/.test(part))) break
      codes.push(code, ...colour)
      at += more
    } else if (/^(?:[0-479]|2[1-57-9]|3[0-79]|4[0-79]|9[0-7]|10[0-7])$/.test(code)) codes.push(code)
  }
  return codes
}

function sign(found: string): string {
  const code = found.codePointAt(0) as number
  if (code < 0x20) return String.fromCodePoint(0x2400 + code)
  if (code === 0x7f) return '\u2421'
  return code > 0xffff ? `\\u{${code.toString(16)}}` : escapeUnit(code)
}

function escapeUnit(code: number): string {
  return `\\u${code.toString(16).padStart(4, '0')}`
}
