import assert from 'node:assert/strict'
import { mkdtemp, rm, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { MypaasError } from '../../src/errors.ts'
import { formatAddress, hostOf, openTransport, parseAddress } from '../../src/push/transport.ts'

test('a server can be named as a domain, a URL, a user at a host, or a socket', () => {
  const table: [string, string, string][] = [
    ['paas.example.com', 'https://paas.example.com', 'paas.example.com'],
    ['paas.example.com:8443', 'https://paas.example.com:8443', 'paas.example.com'],
    ['https://Paas.Example.com/', 'https://paas.example.com', 'paas.example.com'],
    ['http://localhost:8080', 'http://localhost:8080', 'localhost'],
    ['http://127.0.0.1', 'http://127.0.0.1', '127.0.0.1'],
    ['http://[::1]:81', 'http://[::1]:81', '[::1]'],
    ['anna@example.com', 'ssh://anna@example.com', 'ssh'],
    ['ssh://anna@example.com:2222', 'ssh://anna@example.com:2222', 'ssh'],
    ['ssh://alias', 'ssh://alias', 'ssh'],
    ['unix:/run/x.sock', 'unix:/run/x.sock', 'unix'],
  ]
  for (const [text, formatted, host] of table) {
    const address = parseAddress(text)
    assert.equal(formatAddress(address), formatted)
    assert.equal(hostOf(address), host)
  }
})

test('plain http goes no further than this machine, and a wrong name says what to write', () => {
  const refused = (text: string, message: RegExp, hint: RegExp, names: string[] = []): void =>
    assert.throws(
      () => parseAddress(text, names),
      (error) =>
        error instanceof MypaasError &&
        error.code === 'usage' &&
        message.test(error.message) &&
        hint.test(error.hint ?? ''),
      text,
    )
  refused('http://paas.example.com', /plain text/, /https:\/\/paas\.example\.com/)
  refused('http://localhost.example.com', /plain text/, /https/)
  refused('prod', /There is no server prod/, /Did you mean prd/, ['prd'])
  refused('ftp://x.example.com', /no server/, /domain/)
  refused('https://anna:secret@x.example.com', /no server/, /domain/)
  for (const option of ['-oProxyCommand=x@host', 'anna@-oProxyCommand=x', 'ssh://-x', '-x'])
    refused(option, /no server/, /./)
})

test('without an ssh program that is what is said, and by its name', async (t) => {
  const bin = await mkdtemp(join(tmpdir(), 'mypaas-bin-'))
  t.after(() => rm(bin, { recursive: true, force: true }))
  await symlink('/bin/sh', join(bin, 'sh'))
  const before = process.env['PATH']
  process.env['PATH'] = bin
  t.after(() => {
    process.env['PATH'] = before
  })
  const transport = openTransport({ kind: 'ssh', target: 'me@there.test', port: undefined })
  t.after(() => transport.close())
  await assert.rejects(transport.ask({ method: 'GET', path: '/' }), {
    code: 'unreachable',
    message: "I can't reach ssh://me@there.test: there is no ssh program here.",
  })
})
