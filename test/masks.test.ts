import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { masker } from '../src/masks.ts'

const secret = 'p=w"d%/äß&\\<x>'
const pem = '-----BEGIN KEY-----\nMC4CAQAwBQYDK2VwBCIEIHs1\nzJ8mN0Xq+4/5fYwT\n-----END KEY-----\n'

/** Ways in which programs write a value. `seed` chooses among those of one kind. */
const ways: Readonly<Record<string, (value: string, seed: number) => string>> = {
  'as it is': (value) => value,
  JSON: (value) => JSON.stringify(value),
  'JSON in JSON': (value) => JSON.stringify(JSON.stringify({ value })),
  'JSON, all escaped': (value) =>
    units(value)
      .map((unit) => `\\u${unit.toString(16).padStart(4, '0')}`)
      .join(''),
  'JSON, some escaped': (value, seed) =>
    units(value)
      .map((unit, at) => (some(seed, at) ? `\\u${unit.toString(16).toUpperCase().padStart(4, '0')}` : quoted(unit)))
      .join(''),
  URL: encodeURIComponent,
  'URL, small digits': (value) => encodeURIComponent(value).replace(/%../g, (found) => found.toLowerCase()),
  'URL, all of it': (value) => Buffer.from(value).toString('hex').replace(/../g, '%$&'),
  'URL, some of it': (value, seed) =>
    encodeURIComponent(value).replace(/%..|[^%]/g, (found, at: number) =>
      found.length === 1 && some(seed, at) ? `%${found.charCodeAt(0).toString(16)}` : found,
    ),
  'a URL in a URL': (value) => encodeURIComponent(`http://x.test/?v=${encodeURIComponent(value)}`),
  'JSON in a URL': (value) => encodeURIComponent(JSON.stringify({ value })),
  'a form of a web page': (value) => new URLSearchParams({ value }).toString(),
  HTML: (value) => value.replace(/[&<>"]/g, (sign) => `&#${sign.charCodeAt(0)};`),
  'HTML, named': (value) =>
    value.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;'),
  'HTML, hex': (value) => value.replace(/[&<>"]/g, (sign) => `&#x${sign.charCodeAt(0).toString(16)};`),
  hex: (value) => Buffer.from(value).toString('hex'),
  'hex, capitals': (value) => Buffer.from(value).toString('hex').toUpperCase(),
  'hex, a string of C': (value) => Buffer.from(value).toString('hex').replace(/../g, '\\x$&'),
  'octal, a string of C': (value) =>
    [...Buffer.from(value)].map((byte) => `\\${byte.toString(8).padStart(3, '0')}`).join(''),
  base64: (value) => Buffer.from(value).toString('base64'),
  base64url: (value) => Buffer.from(value).toString('base64url'),
  'base64 in a URL': (value) => encodeURIComponent(Buffer.from(value).toString('base64')),
  'base64 within more': (value, seed) => Buffer.from(`${'user:'.repeat(seed % 4)}${value}`).toString('base64'),
  'base64 before more': (value, seed) => Buffer.from(`${value}${'/db'.slice(seed % 3)}`).toString('base64url'),
  'base64 in lines': (value, seed) =>
    Buffer.from(`${'x'.repeat(seed % 80)}${value}`)
      .toString('base64')
      .replace(/.{76}/g, '$&\r\n'),
  'base64 in lines, in JSON': (value, seed) =>
    JSON.stringify(
      Buffer.from(`${'x'.repeat(seed % 70)}${value}`)
        .toString('base64')
        .replace(/.{64}/g, '$&\n'),
    ),
  'hex in lines': (value) =>
    Buffer.from(`${'x'.repeat(40)}${value}`)
      .toString('hex')
      .replace(/.{60}/g, '$&\n'),
  'lines of another system': (value) => value.replaceAll('\n', '\r\n'),
  'lines that are indented': (value) => value.replaceAll('\n', '\n    '),
}

function units(text: string): number[] {
  return [...Array(text.length).keys()].map((at) => text.charCodeAt(at))
}

function quoted(unit: number): string {
  return JSON.stringify(String.fromCharCode(unit)).slice(1, -1)
}

function some(seed: number, at: number): boolean {
  return ((seed >> (at % 16)) & 1) === 1
}

for (const [name, write] of Object.entries(ways)) {
  test(`a secret written as ${name} is not seen`, () => {
    for (const value of [secret, pem, 'correct horse battery', 'a3f8'.repeat(16)]) {
      for (const seed of [0, 1, 2, 3, 21_845, 54_613]) {
        const written = write(value, seed)
        const masked = masker(['another-one', value])(`before ${written} after`)
        assert.match(masked, /^before .*•••.* after$/s, `${written} → ${masked}`)
        assert.deepEqual(leaks(masked, value), [], `${written} → ${masked}`)
      }
    }
  })
}

test('any secret, in any text, written in any of these ways, is not seen', () => {
  const value = fc.string({ unit: 'binary', minLength: 8, maxLength: 40 }).filter((text) => {
    const lines = text.trim().split(/[\r\n]+/)
    return !/\p{Cs}/u.test(text) && lines.every((line) => line.trim().length >= 8) && !text.includes('\0')
  })
  const around = fc.string({ unit: 'grapheme', maxLength: 20 }).filter((text) => !/[%\\&;+/\w=-]$|^[\w+/=-]/.test(text))
  const way = fc.constantFrom(...Object.keys(ways))
  fc.assert(
    fc.property(value, around, around, way, fc.nat(65_535), (text, before, after, name, seed) => {
      const written = ways[name]?.(text, seed) ?? ''
      const masked = masker([text])(`${before} ${written} ${after}`)
      assert.ok(masked.includes('•••'), `${name}: ${JSON.stringify([text, written, masked])}`)
      assert.deepEqual(leaks(masked, text), [], name)
    }),
    { numRuns: 3_000 },
  )
})

/** What can be read of a secret in text that was masked, by whoever tries all that a reader of logs would try. */
function leaks(masked: string, value: string): string[] {
  const bytes = Buffer.from(value)
  const found: string[] = []
  const part = (text: string): void => {
    if (text.length >= 6 && masked.includes(text)) found.push(text)
  }
  for (let at = 0; at + 8 <= value.length; at += 1) part(value.slice(at, at + 8))
  for (let at = 0; at + 8 <= bytes.length; at += 1) {
    const piece = bytes.subarray(at, at + 8)
    part(piece.toString('hex'))
    part(piece.toString('base64').slice(0, 10))
    part(piece.toString('base64url').slice(0, 10))
  }
  return found
}

test('a digit of base64 that is the secret’s in part goes, too; what is around stays', () => {
  const mask = masker(['sesame-open'])
  assert.equal(mask(Buffer.from('u:sesame-open').toString('base64')), 'dT•••==')
  assert.equal(mask(Buffer.from('us:sesame-open!').toString('base64url')), 'dXM6•••h')
  assert.equal(mask('say sesame-open, sesame-opensesame-open. sesame'), 'say •••, •••. sesame')
})

test('text without secrets stays as it is, and so do secrets too short to be told from words', () => {
  const texts = ['C:\\new\\table %20 &amp; a=b\r\n', '[ 45%] Building \\u0041', `${'='.repeat(300)}\n`, '']
  for (const text of texts) {
    assert.equal(masker(['hunter2-hunter2', pem])(text), text)
    assert.equal(masker(['', 'new', '=====', 'a\nb\nc'])(text), text)
    assert.equal(masker([])(text), text)
  }
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 60 }), (text) => {
      assert.equal(masker(['hunter2-hunter2'])(text), text)
    }),
  )
})

test('no text takes long', () => {
  const mask = masker(['aaaaaaaaaaaaaaaaaaaa!', pem, secret])
  for (const part of ['a', ' ', '\n', '\r', '%61', '\\', '\\u0061', '&#97;', '&', '\n \n', 'YWFh']) {
    const text = part.repeat(100_000 / part.length)
    const began = performance.now()
    mask(text)
    mask(`${text}\n${text}`)
    assert.ok(performance.now() - began < 10_000, part)
  }
})
