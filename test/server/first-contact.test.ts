import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { keyFingerprint, keyLine } from '../../src/push/server-key.ts'
import { testApi } from '../support/api.ts'
import { mypaas, onTerminal, type Ran } from '../support/command-line.ts'
import { fakeDaemon } from '../support/fake-daemon.ts'

test('on the command line: first contact, pins, a wrong one, a server that was set up anew', async (t) => {
  const api = await testApi(t)
  const client = await mkdtemp(join(tmpdir(), 'mypaas-client-'))
  t.after(() => rm(client, { recursive: true, force: true }))
  const pin = api.expected.keys[0] as string
  const wrong = keyFingerprint(keyLine(generateKeyPairSync('ed25519').privateKey))
  const server = `unix:${api.socket}`
  const knownFile = join(client, '.config', 'mypaas', 'known-servers.json')
  const fresh = (): Promise<void> => rm(join(client, '.config'), { recursive: true, force: true })
  const known = async (): Promise<unknown> =>
    Object.values(JSON.parse(await readFile(knownFile, 'utf8')) as Record<string, { identity?: string }>).map(
      ({ identity }) => identity,
    )
  const ls = (at: string, env: Record<string, string> = {}): Promise<Ran> =>
    mypaas(client, ['env', 'ls', at, '--key', api.key], { env })

  await t.test('without a terminal and a pin nothing is signed, and what it says to do then works', async () => {
    const { code, stderr } = await ls(server)
    assert.equal(code, 3)
    assert.match(stderr, /is not known here, and there is no terminal to ask on: nothing was signed/)
    assert.deepEqual(await api.audit(), [])
    const variable = /^ *export (MYPAAS_SERVER_KEY)=(\S+)$/m.exec(stderr)
    assert.equal((await ls(server, { [variable?.[1] ?? '']: variable?.[2] ?? '' })).code, 0)
    await fresh()
    const address = /write it behind the address: (\S+)$/m.exec(stderr)?.[1] ?? ''
    assert.equal(address, `${server}#${pin}`)
    assert.equal((await ls(address)).code, 0)
    // From then on it is remembered.
    assert.equal((await ls(server)).code, 0)
    assert.deepEqual(await known(), [pin])
  })

  await t.test('a wrong key is refused, wherever it is written, also of a server that is remembered', async () => {
    for (const [at, env, from] of [
      [server, { MYPAAS_SERVER_KEY: wrong }, 'MYPAAS_SERVER_KEY'],
      [`${server}#${wrong}`, { MYPAAS_SERVER_KEY: pin }, 'the address'],
    ] as const) {
      const { code, stderr } = await ls(at, env)
      assert.equal(code, 3)
      assert.ok(
        stderr.includes(`is not the server that ${from} names: its key is ${pin}, not ${wrong}; nothing`),
        stderr,
      )
    }
    const unreadable = await ls(server, { MYPAAS_SERVER_KEY: 'SHA256:oops' })
    assert.equal(unreadable.code, 2)
    assert.match(unreadable.stderr, /in MYPAAS_SERVER_KEY is no key of a server/)
  })

  await t.test('after a new set-up the hint, run as it is printed, forgets the old one', async () => {
    await fresh()
    await mypaas(client, ['remote', 'add', 'stage', `${server}#${pin}`, '--key', api.key])
    const added = await mypaas(client, ['remote', 'add', 'prod', `${server}#${wrong}`, '--key', api.key])
    assert.ok(
      added.stderr.includes(`was ${pin}, which is replaced by ${wrong}. That is so for stage, too`),
      added.stderr,
    )
    const refused = await mypaas(client, ['env', 'ls', 'prod'])
    assert.equal(refused.code, 3)
    assert.ok(
      refused.stderr.includes(
        `was written down by mypaas remote add: its key is ${pin}, not ${wrong}; nothing was signed`,
      ),
      refused.stderr,
    )
    const hint = /is wrong, forget it: mypaas (.*)$/m.exec(refused.stderr)?.[1] ?? ''
    assert.equal(hint, 'remote forget prod')
    const forgotten = await mypaas(client, hint.split(' '))
    assert.match(forgotten.stderr, /^Forgotten: .*; the next contact .* asks, on a terminal; elsewhere it fails/m)
    assert.match((await mypaas(client, hint.split(' '))).stderr, /elsewhere it fails/)
    assert.match((await mypaas(client, ['env', 'ls', 'prod'])).stderr, /is not known here/)
    await mypaas(client, ['remote', 'add', 'prod', `${server}#${pin}`, '--key', api.key])
    assert.equal((await mypaas(client, ['env', 'ls', 'prod'])).code, 0)
    assert.doesNotMatch(await readFile(knownFile, 'utf8'), /added/)
    assert.match(
      (await mypaas(client, ['remote', 'ls'])).stdout,
      new RegExp(`^prod .* ${pin.replace(/[+]/g, '\\+')}$`, 'm'),
    )
  })

  await t.test('on a terminal it asks, as ssh does', async () => {
    for (const [answer, taken] of [
      ['', undefined],
      ['no', false],
      [wrong, false],
      ['yes', true],
      [pin, true],
    ] as const) {
      await fresh()
      const { code, output } = await onTerminal(client, ['env', 'ls', server, '--key', api.key], `${answer}\\r`)
      assert.ok(output.includes(`is not known on this machine. Its key is ${pin}`), output)
      if (taken === undefined) {
        assert.equal(code, 130, output)
        continue
      }
      assert.equal(code, taken ? 0 : 3, output)
      assert.match(output, taken ? /Is that it\?/ : /was not taken for the server that is meant: nothing was signed/)
      if (taken) assert.deepEqual(await known(), [pin])
      else assert.equal(await readFile(knownFile, 'utf8').catch(() => 'none'), 'none')
    }
  })

  await t.test('a server that is known by one address is known by another, and forgotten by all', async () => {
    await fresh()
    const other = join(api.home, 'other.sock')
    await fakeDaemon(t, other, api.socket)
    assert.equal((await ls(`${server}#${pin}`)).code, 0)
    const { code, stderr } = await ls(`unix:${other}`)
    assert.equal(code, 0)
    assert.match(stderr, /other\.sock is the server that is known here as unix:\S+d\.sock\./)
    assert.equal((await ls(`unix:${other}`)).stderr, '')
    const forgotten = await mypaas(client, ['remote', 'forget', server])
    assert.match(forgotten.stderr, /^Forgotten: unix:\S+d\.sock, unix:\S+other\.sock;/)
  })
})
