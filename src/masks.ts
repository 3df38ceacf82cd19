/** What stands in the place of a secret. */
const mask = '•••'

/** What is shorter is not looked for: it would take words apart. */
const shortest = 6

/**
 * Takes secrets out of text, as they are and as programs write them: escaped for JSON, URLs, HTML or a shell, whole or in
 * part; in base64 of either alphabet, also within more (`user:password`); as hex digits; broken into lines; of a secret
 * with several lines each line. What has fewer than 6 characters stays, and so does what is a part of a secret only, or
 * was changed in another way. Text is gone through once for all of them.
 */
export function masker(secrets: Iterable<string>): (text: string) => string {
  const forms = new Map<string, Form>()
  for (const secret of secrets) {
    for (const part of [secret, secret.trim(), ...secret.split(/[\r\n]+/).map((line) => line.trim())]) {
      if (part.length < shortest || forms.has(part)) continue
      for (const form of formsOf(part)) if (form.text.length >= shortest) forms.set(form.text, form)
    }
  }
  if (forms.size === 0) return (text) => text
  const finder = new Finder([...forms.values()])
  return (text) => {
    const found = finder.find(text)
    for (const reading of readingsOf(text)) {
      for (const { from, to } of finder.find(reading.text))
        found.push({ from: reading.start(from), to: reading.end(to - 1) })
    }
    return found.length === 0 ? text : without(text, found)
  }
}

type Range = { from: number; to: number }

function without(text: string, ranges: Range[]): string {
  ranges.sort((a, b) => a.from - b.from)
  let left = ''
  let end = -1
  for (const { from, to } of ranges) {
    if (from > end) left += text.slice(Math.max(0, end), from) + mask
    end = Math.max(end, to)
  }
  return left + text.slice(end)
}

/** Something that is looked for. `before`, `after`: the base64 digit there has some bits of the secret, too. */
type Form = Readonly<{ text: string; before?: boolean; after?: boolean }>

function* formsOf(secret: string): Generator<Form> {
  yield { text: secret }
  yield { text: JSON.stringify(secret).slice(1, -1) }
  const bytes = Buffer.from(secret)
  yield { text: encodeURIComponent(bytes.toString()) }
  // As the readings below show it, and forms of web pages write blanks.
  for (const { text } of readingsOf(secret)) yield { text }
  yield { text: secret.replaceAll(' ', '+') }
  yield { text: bytes.toString('hex') }
  yield { text: bytes.toString('hex').toUpperCase() }
  for (const ahead of [0, 1, 2]) {
    const bits = { from: ahead * 8, to: (ahead + bytes.length) * 8 }
    const digits = Buffer.concat([Buffer.alloc(ahead), bytes]).toString('base64')
    const text = digits.slice(Math.ceil(bits.from / 6), Math.floor(bits.to / 6))
    const ends = { before: bits.from % 6 !== 0, after: bits.to % 6 !== 0 }
    yield { text, ...ends }
    yield { text: text.replaceAll('+', '-').replaceAll('/', '_'), ...ends }
  }
}

/**
 * Finds any of many strings, after Wu and Manber: the last two characters of where one could stand say how far ahead the
 * next could stand at the soonest.
 */
class Finder {
  readonly #ahead = new Uint8Array(buckets).fill(shortest - 1)
  readonly #forms = new Map<number, Form[]>()

  constructor(forms: readonly Form[]) {
    for (const form of forms) {
      for (let at = 1; at < shortest; at += 1) {
        const bucket = bucketOf(form.text, at)
        this.#ahead[bucket] = Math.min(this.#ahead[bucket] as number, shortest - 1 - at)
      }
      const last = bucketOf(form.text, shortest - 1)
      this.#forms.set(last, [...(this.#forms.get(last) ?? []), form])
    }
  }

  find(text: string): Range[] {
    const found: Range[] = []
    for (let at = shortest - 1; at < text.length; ) {
      const bucket = bucketOf(text, at)
      const ahead = this.#ahead[bucket] as number
      if (ahead === 0) {
        const start = at - shortest + 1
        for (const form of this.#forms.get(bucket) as readonly Form[])
          if (text.startsWith(form.text, start)) found.push(rangeOf(form, text, start))
      }
      at += Math.max(1, ahead)
    }
    return found
  }
}

const buckets = 2 ** 14

function bucketOf(text: string, at: number): number {
  return ((text.charCodeAt(at - 1) << 7) ^ text.charCodeAt(at)) & (buckets - 1)
}

function rangeOf({ text: { length }, before, after }: Form, text: string, start: number): Range {
  const isDigit = (at: number): boolean => /[\w+/-]/.test(text.charAt(at))
  const end = start + length
  return { from: before && isDigit(start - 1) ? start - 1 : start, to: after && isDigit(end) ? end + 1 : end }
}

/** Text as a program that reads it would have it, and where each character came from. */
type Reading = Readonly<{ text: string; start: (index: number) => number; end: (index: number) => number }>

/** A text decoded step by step, as far as there is anything to decode, and with its lines joined. */
function* readingsOf(text: string): Generator<Reading> {
  let reading: Reading | undefined
  for (const decoder of decoders) {
    const next = decoded(text, decoder, reading)
    if (!next) continue
    reading = next
    yield reading
  }
  const joined = decoded(text, lineBreaks)
  if (joined) yield joined
  const all = reading && decoded(text, lineBreaks, reading)
  if (all) yield all
}

type Decoder = Readonly<{
  /** Without it there is nothing to decode. */
  sign: string
  pattern: RegExp
  /** What was found as pairs: characters, and how many they were written with. */
  decode: (found: string) => readonly (readonly [text: string, length: number])[]
}>

const percent: Decoder = { sign: '%', pattern: /(?:%[0-9a-f]{2})+/gi, decode: fromBytes }
const bytes: Decoder = { sign: '\\', pattern: /(?:\\(?:x[0-9a-f]{2}|[0-3][0-7]{2}))+/gi, decode: fromBytes }
const backslash: Decoder = {
  sign: '\\',
  pattern: /\\(?:u[0-9a-f]{4}|u\{[0-9a-f]{1,6}\}|[^\w\s])|\\[bfnrt]/gi,
  decode: (found) => [[fromBackslash(found), found.length]],
}
const entity: Decoder = {
  sign: '&',
  pattern: /&(?:#\d{1,7}|#x[0-9a-f]{1,6}|amp|lt|gt|quot|apos);/gi,
  decode: (found) => [[fromEntity(found), found.length]],
}
const lineBreaks: Decoder = { sign: '\n', pattern: /[\r\n]+[ \t]*/g, decode: () => [] }

/** Some programs escape what was escaped. */
const decoders: readonly Decoder[] = [percent, percent, bytes, backslash, backslash, entity]

function decoded(original: string, { sign, pattern, decode }: Decoder, before?: Reading): Reading | undefined {
  const text = before?.text ?? original
  const first = text.indexOf(sign)
  // The line feed at the end of a line joins it to nothing.
  if (first < 0 || (sign === '\n' && first >= text.trimEnd().length)) return undefined
  const parts: string[] = []
  const pieces: Piece[] = []
  let length = 0
  let end = 0
  const put = (characters: string, from: number, written?: number): void => {
    if (characters === '') return
    pieces.push({ at: length, from, written })
    parts.push(characters)
    length += characters.length
  }
  for (const { 0: found, index } of text.matchAll(pattern)) {
    put(text.slice(end, index), end)
    let from = index
    for (const [characters, written] of decode(found)) {
      put(characters, from, written)
      from += written
    }
    end = index + found.length
  }
  if (end === 0) return undefined
  put(text.slice(end), end)
  const start = (index: number): number => {
    const { at, from, written } = pieceAt(pieces, index)
    return written === undefined ? from + index - at : from
  }
  const endOf = (index: number): number => {
    const { at, from, written } = pieceAt(pieces, index)
    return written === undefined ? from + index - at + 1 : from + written
  }
  if (!before) return { text: parts.join(''), start, end: endOf }
  return {
    text: parts.join(''),
    start: (index) => before.start(start(index)),
    end: (index) => before.end(endOf(index) - 1),
  }
}

/** A part of a reading that begins at `at`: it stands at `from`, as it is, or was `written` in so many characters. */
type Piece = Readonly<{ at: number; from: number; written: number | undefined }>

function pieceAt(pieces: readonly Piece[], index: number): Piece {
  let low = 0
  let high = pieces.length - 1
  while (low < high) {
    const middle = Math.ceil((low + high) / 2)
    if ((pieces[middle] as Piece).at <= index) low = middle
    else high = middle - 1
  }
  return pieces[low] as Piece
}

/** `%c3%a4`, `\xc3\xa4`, `\303\244`: bytes, most often of UTF-8. */
function fromBytes(found: string): (readonly [string, number])[] {
  const written = found.startsWith('%') ? 3 : 4
  const bytes = Buffer.from(
    (found.match(/[%\\]x?[0-9a-f]+/gi) ?? []).map((one) =>
      /^\\[0-7]/.test(one) ? Number.parseInt(one.slice(1), 8) : Number.parseInt(one.replace(/^.x?/i, ''), 16),
    ),
  )
  const characters: (readonly [string, number])[] = []
  for (let at = 0; at < bytes.length; ) {
    const first = bytes[at] as number
    const length = first < 0xc0 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4
    const text = bytes.toString('utf8', at, at + length)
    const isOne = !text.includes('\ufffd')
    characters.push(isOne ? [text, written * length] : [String.fromCharCode(first), written])
    at += isOne ? length : 1
  }
  return characters
}

function fromBackslash(found: string): string {
  const digits = /^\\u\{?([0-9a-f]+)/i.exec(found)?.[1]
  if (digits !== undefined) return character(Number.parseInt(digits, 16))
  const letter = found.charAt(1)
  return { b: '\b', f: '\f', n: '\n', r: '\r', t: '\t' }[letter] ?? letter
}

function fromEntity(found: string): string {
  const [, hex, decimal] = /^&#(?:x([0-9a-f]+)|(\d+));$/i.exec(found) ?? []
  if (hex !== undefined) return character(Number.parseInt(hex, 16))
  if (decimal !== undefined) return character(Number(decimal))
  return { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'" }[found.slice(1, -1).toLowerCase()] ?? found
}

function character(code: number): string {
  return code <= 0x10ffff ? String.fromCodePoint(code) : '\ufffd'
}
