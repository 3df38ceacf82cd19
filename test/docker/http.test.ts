import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { ProtocolError } from '../../src/docker/errors.ts'
import { type Head, ResponseReader } from '../../src/docker/http.ts'

type Heard = { head: Head; keepAlive: boolean; body: string; ended: boolean; tooMuch?: true; upgraded?: string }

/** Reads one answer that comes in these parts. */
function read(parts: readonly (string | Buffer)[], options: { method?: string; close?: boolean } = {}): Heard {
  const heard: Heard = { head: { status: 0, headers: {} }, keepAlive: false, body: '', ended: false }
  const reader = new ResponseReader({
    onHead: (head, keepAlive) => Object.assign(heard, { head: { ...head, headers: { ...head.headers } }, keepAlive }),
    onBody: (part) => {
      heard.body += part.toString('latin1')
    },
    onEnd: (tooMuch) => {
      heard.ended = true
      if (tooMuch) heard.tooMuch = true
    },
    onUpgraded: (rest) => {
      heard.upgraded = rest.toString('latin1')
    },
  })
  reader.expect(options.method ?? 'GET')
  for (const part of parts) reader.feed(Buffer.from(part))
  if (options.close) heard.ended = reader.end()
  return heard
}

function chunked(parts: readonly string[]): string {
  return `${parts.map((part) => `${part.length.toString(16)}\r\n${part}\r\n`).join('')}0\r\n\r\n`
}

test('a body with a length ends after that length, and the connection can be used again', () => {
  assert.deepEqual(read(['HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-A:  b \r\n\r\nhello']), {
    head: { status: 200, headers: { 'content-length': '5', 'x-a': 'b' } },
    keepAlive: true,
    body: 'hello',
    ended: true,
  })
})

test('a chunked body is put together, extensions and trailers are skipped', () => {
  const answer =
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n1\r\n!\r\n0\r\nX-Sum: 1\r\n\r\n'
  const { body, ended } = read([answer])
  assert.deepEqual({ body, ended }, { body: 'hello!', ended: true })
})

test('an answer without length goes on until the connection closes, and then it is complete', () => {
  const parts = ['HTTP/1.1 200 OK\r\n\r\nhel', 'lo']
  assert.deepEqual(read(parts).ended, false)
  const { body, keepAlive, ended } = read(parts, { close: true })
  assert.deepEqual({ body, keepAlive, ended }, { body: 'hello', keepAlive: false, ended: true })
})

test('a connection that closes within a body with length or chunks is no end', () => {
  assert.equal(read(['HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell'], { close: true }).ended, false)
  assert.equal(
    read(['HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n'], { close: true }).ended,
    false,
  )
  assert.equal(read(['HTTP/1.1 200 OK\r\n'], { close: true }).ended, false)
})

test('HEAD, 204 and 304 have no body, whatever their headers say', () => {
  for (const [status, method] of [
    [200, 'HEAD'],
    [204, 'POST'],
    [304, 'POST'],
  ] as const) {
    const { ended, body } = read([`HTTP/1.1 ${status} X\r\nContent-Length: 5\r\n\r\n`], { method })
    assert.deepEqual({ ended, body }, { ended: true, body: '' })
  }
})

test('interim answers are skipped', () => {
  const { head, ended } = read([
    'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 X\r\nLink: a\r\n\r\nHTTP/1.1 204 No\r\n\r\n',
  ])
  assert.deepEqual({ status: head.status, ended }, { status: 204, ended: true })
})

test('after 101 the rest belongs to the stream', () => {
  const { head, upgraded } = read(['HTTP/1.1 101 UPGRADED\r\nUpgrade: tcp\r\n\r\nearly'])
  assert.deepEqual({ status: head.status, upgraded }, { status: 101, upgraded: 'early' })
})

test('Connection: close and HTTP/1.0 give up the connection', () => {
  assert.equal(read(['HTTP/1.1 200 OK\r\nConnection: Close\r\nContent-Length: 0\r\n\r\n']).keepAlive, false)
  assert.equal(read(['HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n']).keepAlive, false)
})

test('a header that comes twice is joined, and no header name can reach the prototype', () => {
  const { head } = read(['HTTP/1.1 204 No\r\nVia: a\r\nVia: b\r\n__proto__: c\r\n\r\n'])
  assert.equal(head.headers['via'], 'a, b')
  assert.equal(Object.getPrototypeOf(head.headers), Object.prototype)
})

test('what is not HTTP, and what never ends, is an error', () => {
  const huge = 'x'.repeat(300 * 1024)
  const chunkedHead = 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n'
  for (const bytes of [
    'SSH-2.0-OpenSSH\r\n',
    '\x15\x03\x01\0\x02\x02\x16',
    'HTTP/2 200\r\n\r\n',
    'HTTP/1.1 abc\r\n\r\n',
    'HTTP/1.1 200 OK\r\nno colon\r\n\r\n',
    'HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n',
    `HTTP/1.1 200 OK\r\nX: ${huge}`,
    `${chunkedHead}xyz\r\n`,
    `${chunkedHead}\r\n`,
    `${chunkedHead}1;${huge}`,
    `${chunkedHead}1\r\nab\r\n`,
    `${chunkedHead}0\r\nX: ${huge}`,
  ]) {
    assert.throws(() => read([bytes]), ProtocolError, bytes.slice(0, 60))
  }
})

test('what comes after an answer is not taken for the next one', () => {
  const next = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno'
  for (const answer of [
    'HTTP/1.1 204 No\r\n\r\n',
    'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n',
    'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi',
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n',
  ]) {
    assert.equal(read([answer]).tooMuch, undefined)
    const { ended, tooMuch, body } = read([answer + next])
    assert.deepEqual({ ended, tooMuch, body: body.replace('hi', '') }, { ended: true, tooMuch: true, body: '' })
    assert.throws(() => read([answer, next]), ProtocolError)
  }
})

test('an answer cut at any two places is read as the whole one is', () => {
  const answers = [
    `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nA: b\r\n\r\n${chunked(['hello', ' ', 'world'])}`,
    'HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\nhello world',
    'HTTP/1.1 101 UPGRADED\r\nUpgrade: tcp\r\n\r\n',
  ]
  for (const answer of answers) {
    const whole = read([answer])
    for (let a = 0; a <= answer.length; a++) {
      for (let b = a; b <= answer.length; b++) {
        assert.deepEqual(read([answer.slice(0, a), answer.slice(a, b), answer.slice(b)].filter(Boolean)), whole)
      }
    }
  }
})

test('any chunks, of any sizes, cut anywhere, give the bytes that were sent', () => {
  const part = fc.string({ minLength: 1, maxLength: 40, unit: 'binary-ascii' })
  const large = fc.integer({ min: 8000, max: 20_000 }).map((length) => 'x'.repeat(length))
  fc.assert(
    fc.property(
      fc.array(fc.oneof({ arbitrary: part, weight: 9 }, { arbitrary: large, weight: 1 }), { maxLength: 30 }),
      fc.array(fc.nat({ max: 2000 }), { maxLength: 20 }),
      (parts, sizes) => {
        const bytes = `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n${chunked(parts)}`
        const cuts: string[] = []
        let at = 0
        for (const size of sizes) {
          cuts.push(bytes.slice(at, at + size + 1))
          at += size + 1
        }
        cuts.push(bytes.slice(at))
        const { body, ended } = read(cuts.filter(Boolean))
        assert.deepEqual({ body, ended }, { body: parts.join(''), ended: true })
      },
    ),
    { numRuns: 300 },
  )
})

test('small chunks of one read come as one part, large ones without being moved', () => {
  const parts: Buffer[] = []
  const reader = new ResponseReader({
    onHead: () => {},
    onBody: (part) => void parts.push(part),
    onEnd: () => {},
    onUpgraded: () => {},
  })
  reader.expect('GET')
  const large = 'x'.repeat(10_000)
  const fed = Buffer.from(
    `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n${chunked(['a', 'b', 'c', large, large])}`,
  )
  reader.feed(fed)
  assert.deepEqual(
    parts.map((part) => part.length),
    [3, 10_000, 10_000],
  )
  for (const part of parts) assert.equal(part.buffer, fed.buffer)
})
