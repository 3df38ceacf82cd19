import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { VisibleStream, visible, visibleJson, visibleLine, visibleOutput } from '../src/visible.ts'

const esc = '\u001b'

test('of text from elsewhere every control and invisible character is shown, none has its effect', () => {
  const shown: readonly (readonly [given: string, shown: string])[] = [
    [`a${esc}]0;owned\u0007b`, 'a␛]0;owned␇b'],
    [`${esc}[2J${esc}[H`, '␛[2J␛[H'],
    [`${esc}[31mred${esc}[0m`, '␛[31mred␛[0m'],
    ['\u009b2J\u009d0;t\u009c\u0085', '\\u009b2J\\u009d0;t\\u009c\\u0085'],
    ['user\u202egpj.exe \u2066x\u2069 \u200e', 'user\\u202egpj.exe \\u2066x\\u2069 \\u200e'],
    ['pay\u200bpal \ufeff \u00ad \u3164 \u{e0041} \u2028', 'pay\\u200bpal \\ufeff \\u00ad \\u3164 \\u{e0041} \\u2028'],
    ['one\r\ntwo\rthree\tfour\0\u007f\b', 'one\ntwo\nthree\tfour␀␡␈'],
    ['größe – 日本 👩 ⚠️ ✓', 'größe – 日本 👩 ⚠️ ✓'],
  ]
  assert.deepEqual(
    shown.map(([given]) => visible(given)),
    shown.map(([, wanted]) => wanted),
  )
  assert.equal(visibleLine('a\nb\tc\r'), 'a␊b␉c␍')
})

test('what a program wrote keeps its colours, to the end of each line, and nothing else of its sequences', () => {
  const shown: readonly (readonly [given: string, shown: string])[] = [
    [`${esc}[1;31mred${esc}[0m plain`, `${esc}[1;31mred${esc}[0m plain`],
    [`${esc}[31mred\nnot${esc}[38;5;200mpink`, `${esc}[31mred${esc}[0m\nnot${esc}[38;5;200mpink${esc}[0m`],
    [`${esc}[mno ${esc}[8mhidden ${esc}[5;32mblinks`, `${esc}[0mno hidden ${esc}[32mblinks${esc}[0m`],
    [`${esc}[2K${esc}[1Gdone${esc}[?25h${esc}(B${esc}7${esc}c`, 'done'],
    [`${esc}]8;;http://x.test/${esc}\\link${esc}]8;;\u0007 ${esc}P1$tx${esc}\\${esc}_G1;x${esc}\\.`, 'link .'],
    [`\u009b31mred\u009b2J\u009d0;title\u009c`, `${esc}[31mred${esc}[0m`],
    [`${esc}[>4;1m ${esc}[38;2;1m ${esc}[999m ${esc}[${'1;'.repeat(50)}m`, '   '],
    [`${esc}]0;no end\nnext`, '␛]0;no end\nnext'],
    [`10 %\r20 %\r\n`, '10 %\n20 %\n'],
  ]
  assert.deepEqual(
    shown.map(([given]) => visibleOutput(given, { colours: true })),
    shown.map(([, wanted]) => wanted),
  )
  assert.equal(visibleOutput(`${esc}[1;31mred${esc}[0m plain`, { colours: false }), 'red plain')
})

test('JSON is the same value, with escapes for what a terminal would obey', () => {
  const value = { text: `\u009b2J \u202e ${esc} \u{e0041} 日本 \u007f` }
  const json = visibleJson(JSON.stringify(value))
  assert.deepEqual(JSON.parse(json), value)
  assert.match(json, /^[^\p{Cc}\p{Cf}]*$/u)
})

const nasty = [
  ...['\u001b', '\u009b', '\u009d', '\u0090', '\u009c', '\u0007', '\u0018', '\u001a', '\r', '\n', '\0', '\b', '\u007f'],
  ...[
    '[',
    ']',
    '\\',
    'P',
    '_',
    '^',
    'X',
    '?',
    '>',
    '0',
    '1',
    '31',
    '38;5;1',
    ';',
    ':',
    'm',
    'J',
    'H',
    'h',
    'c',
    ' ',
    '(',
  ],
  ...['\u001b[', '\u001b]0;', '\u001b[31m', '\u001b\\', '\u202e', '\u2066', '\u200b', '\u2028', '\u{e0001}', '\ud800'],
]
const soup = fc
  .array(fc.oneof(fc.constantFrom(...nasty), fc.string({ unit: 'binary', maxLength: 4 })), { maxLength: 60 })
  .map((parts) => parts.join(''))

test('whatever is written, a terminal gets no control but line breaks, tabs and plain colours that end with their line', () => {
  fc.assert(
    fc.property(soup, (text) => {
      for (const shown of [visible(text), visibleLine(text), visibleOutput(text, { colours: false })])
        assert.deepEqual(terminalFaults(shown), [])
      assert.deepEqual(terminalFaults(visibleOutput(text, { colours: true }), { colours: true }), [])
      assert.doesNotMatch(visibleLine(text), /[\n\t]/)
    }),
    { numRuns: 5_000 },
  )
})

test('output that comes in pieces, cut anywhere, is shown as in one', () => {
  const cuts = fc.array(fc.nat(100), { maxLength: 8 })
  fc.assert(
    fc.property(fc.oneof(soup, fc.uint8Array({ maxLength: 80 })), cuts, (given, at) => {
      const bytes = Buffer.from(given as string)
      const stream = new VisibleStream({ colours: true })
      const ends = [...at.filter((end) => end < bytes.length).sort((a, b) => a - b), bytes.length]
      let from = 0
      const pieces: string[] = []
      for (const end of ends) {
        pieces.push(stream.add(bytes.subarray(from, end)))
        from = end
      }
      pieces.push(stream.end())
      assert.deepEqual(terminalFaults(pieces.join(''), { colours: true }), [])
      assert.equal(pieces.join(''), visibleOutput(new TextDecoder().decode(bytes), { colours: true }))
    }),
    { numRuns: 5_000 },
  )
})

test('no text is slow to show, nor held back for long', () => {
  const size = 250_000
  for (const part of [
    `${esc}]`,
    '\u009d',
    `${esc}[0;`,
    esc,
    `${esc}]${'a'.repeat(4_000)}`,
    `${esc}   `,
    '\r',
    '\u200d',
  ]) {
    const text = part.repeat(Math.ceil(size / part.length))
    const began = performance.now()
    visibleOutput(text, { colours: true })
    assert.ok(performance.now() - began < 10_000, JSON.stringify(part.slice(0, 8)))
  }
  const stream = new VisibleStream({ colours: true })
  const shown = stream.add(`${esc}]0;${'a'.repeat(20_000)}`)
  assert.ok(shown.length > 15_000, `${shown.length} characters of 20,004`)
})

/** A small terminal, which tells what it was made to do besides writing. Its input is bytes, as a terminal's is. */
function terminalFaults(text: string, options: { colours?: boolean } = {}): string[] {
  const bytes = Buffer.from(text)
  const faults: string[] = []
  let coloured = false
  for (let at = 0; at < bytes.length; at += 1) {
    const byte = bytes[at] as number
    if (byte === 0x1b) {
      let end = at + 2
      while (end < bytes.length && /[\d;]/.test(String.fromCharCode(bytes[end] as number))) end += 1
      const sequence = bytes.toString('latin1', at, end + 1)
      if (!options.colours || !/^.\[\d{1,3}(;\d{1,3})*m$/.test(sequence)) faults.push(`sequence at ${at}`)
      else coloured = sequence !== '\u001b[0m' && !sequence.endsWith(';0m')
      at = end
    } else if (byte === 0x0a) {
      if (coloured) faults.push(`colour behind the line at ${at}`)
    } else if (byte < 0x20 && byte !== 0x09) faults.push(`control ${byte} at ${at}`)
    else if (byte === 0x7f) faults.push(`delete at ${at}`)
    else if (byte === 0xc2 && (bytes[at + 1] as number) < 0xa0) faults.push(`8-bit control at ${at}`)
  }
  if (coloured) faults.push('colour at the end')
  const hidden: readonly (readonly [from: number, to: number])[] = [
    [0xad, 0xad],
    [0x34f, 0x34f],
    [0x61c, 0x61c],
    [0x115f, 0x1160],
    [0x180b, 0x180f],
    [0x200b, 0x200f],
    [0x2028, 0x202e],
    [0x2060, 0x206f],
    [0x3164, 0x3164],
    [0xfeff, 0xfeff],
    [0xe0000, 0xe0fff],
  ]
  for (const sign of text) {
    const code = sign.codePointAt(0) as number
    if (hidden.some(([from, to]) => code >= from && code <= to)) faults.push(`${code.toString(16)}, which is not seen`)
  }
  return faults
}
