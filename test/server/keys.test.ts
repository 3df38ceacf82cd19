import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import { mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { MypaasError } from '../../src/errors.ts'
import { AuthorizedKeys, addKey, coversService, parseDate, parseKeys, removeKey } from '../../src/server/keys.ts'
import { formatAllowedPort } from '../../src/service/allowed-ports.ts'
import { type Reply, testApi } from '../support/api.ts'
import { mypaas } from '../support/command-line.ts'
import { fileKeyOf, userKeyOf } from '../support/keys.ts'
import { securityKey } from '../support/security-key.ts'

async function folder(t: TestContext): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'mypaas-keys-'))
  t.after(() => rm(path, { recursive: true, force: true }))
  return path
}

test('what a limited key may publish stands in its line', async (t) => {
  const home = await folder(t)
  const [a, b, c] = await Promise.all(['a', 'b', 'c'].map((name) => fileKeyOf(join(home, name))))
  await writeFile(join(home, 'authorized_keys'), '', { mode: 0o600 })
  await addKey(home, { line: a as string, services: ['db'], publish: ['127.0.0.1:5432', '7000-7010/udp', '[::1]:0'] })
  const written = await readFile(join(home, 'authorized_keys'), 'utf8')
  assert.match(written, /^services="db",publish="127\.0\.0\.1:5432,7000-7010\/udp,\[::1\]:0" ssh-ed25519 /)
  await assert.rejects(addKey(home, { line: b as string, services: ['db'], publish: ['http'] }), /"http" is no port/)
  await assert.rejects(addKey(home, { line: b as string, publish: ['80'] }), /is for keys with services/)
  const { keys, problems } = await parseKeys(
    [written, `services="x",publish="0,80:81" ${b}`, `publish="80",services="x" ${c}`].join('\n'),
  )
  assert.deepEqual(
    keys.map(({ publish }) => publish?.map(formatAllowedPort)),
    [['127.0.0.1:5432', '7000-7010/udp', '[::1]:0'], ['80']],
  )
  assert.match(problems.join('\n'), /^line 3: publish: "80:81" is no port such as 5432/)
})

test('each line counts by itself: what is wrong with one is told and takes nothing from the others', async (t) => {
  const home = await folder(t)
  const ed25519 = await fileKeyOf(join(home, 'a'))
  const ecdsa = await fileKeyOf(join(home, 'b'), { type: 'ecdsa' })
  const rsa = await fileKeyOf(join(home, 'c'), { type: 'rsa', bits: 3072 })
  const short = await fileKeyOf(join(home, 'd'), { type: 'rsa', bits: 2048 })
  const other = await fileKeyOf(join(home, 'e'))
  const text = [
    '# a comment',
    '',
    ed25519,
    `services="blog,shop-*",expires="2027-01-31",read-only,own-layers ${ecdsa}`,
    `\t${rsa}  `,
    short,
    ed25519.replace('AAAA', 'AAAB'),
    'ssh-dss AAAAB3NzaC1kc3MAAACBAP1/U4EddRIpUt9KnC7s5Of2EbdSPO9EAMMeP4C2USZpRV1AIlH7WT2NWPq/xfW6MPbLm1Vs14E7gB00b/JmYLdrmVClpJ+f6AR7ECLCT7up1/63xhv4O1fnxqimFQ8E+4P208UewwI1VBNaFpEy9nXzrith1yrv8iIDGZ3RSAHH',
    `command="rm -rf /" ${other}`,
    `services="../x" ${other}`,
    `expires="soon" ${other}`,
    `services=blog ${other}`,
    'nonsense',
    ed25519,
    'cert-authority',
    `${other} Anna's laptop`,
  ].join('\n')
  const { keys, problems } = parseKeys(text)
  assert.deepEqual(
    keys.map(({ public: _, fingerprint: __, ...key }) => key),
    [
      { line: 3, comment: 'test', services: undefined, expiresMs: undefined, readOnly: false, ownLayers: false },
      {
        line: 4,
        comment: 'test',
        services: ['blog', 'shop-*'],
        expiresMs: Date.parse('2027-02-01T00:00:00Z'),
        readOnly: true,
        ownLayers: true,
      },
      { line: 5, comment: 'test', services: undefined, expiresMs: undefined, readOnly: false, ownLayers: false },
      {
        line: 16,
        comment: "test Anna's laptop",
        services: undefined,
        expiresMs: undefined,
        readOnly: false,
        ownLayers: false,
      },
    ],
  )
  assert.deepEqual(problems.map((problem) => problem.replace(/:.*/s, '')).sort(), [
    ...[10, 11, 12, 13, 14, 15, 6, 7, 8, 9].map((line) => `line ${line}`),
  ])
  assert.match(problems.find((problem) => problem.startsWith('line 6:')) ?? '', /2048 bits is too short/)
})

test('a limited key covers the names that its patterns say, whole names only', () => {
  const key = { services: ['blog', 'shop-*', 'a.b'] }
  const covered = ['blog', 'shop-', 'shop-eu', 'shop-eu-2', 'a.b']
  const not = ['blog2', 'xblog', 'shop', 'myshop-eu', 'axb', 'a.bc']
  assert.deepEqual(
    covered.filter((name) => coversService(key, name)),
    covered,
  )
  assert.deepEqual(
    not.filter((name) => coversService(key, name)),
    [],
  )
  assert.equal(coversService({ services: undefined }, 'anything'), true)
  assert.equal(coversService({ services: [] }, 'anything'), false)
})

test('a day counts to its end, and no date is guessed', () => {
  assert.equal(parseDate('2027-01-31'), Date.parse('2027-02-01T00:00:00Z'))
  assert.equal(parseDate('20270131'), Date.parse('2027-02-01T00:00:00Z'))
  assert.equal(parseDate('2027-01-31T12:00Z'), Date.parse('2027-01-31T12:00:00Z'))
  for (const text of ['', 'never', '2027-02-30', '2027-13-01', '31.1.2027', '2027-01-31T12:00']) {
    assert.equal(parseDate(text), undefined, text)
  }
})

test('the file is read anew when it changes, and counts for nothing when others can write it', async (t) => {
  const home = await folder(t)
  const line = await fileKeyOf(join(home, 'a'))
  const keys = new AuthorizedKeys(home)
  assert.deepEqual(await keys.read(), { keys: [], problems: [] })
  const { fingerprint } = await addKey(home, { line })
  assert.deepEqual(
    (await keys.read()).keys.map((key) => key.fingerprint),
    [fingerprint],
  )
  await writeFile(join(home, 'authorized_keys'), line, { mode: 0o600 })
  assert.equal((await keys.read()).keys.length, 1)
  const { chmod } = await import('node:fs/promises')
  await chmod(join(home, 'authorized_keys'), 0o620)
  const unsafe = await keys.read()
  assert.equal(unsafe.keys.length, 0)
  assert.match(unsafe.problems[0] ?? '', /others can write it \(mode 620\).*chmod 600/)
  await chmod(join(home, 'authorized_keys'), 0o644)
  assert.equal((await keys.read()).keys.length, 1)
})

test('what is wrong with a key to add is said of what is wrong: its line, its options, its days', async (t) => {
  const home = await folder(t)
  const line = await fileKeyOf(join(home, 'a'))
  const refused = (key: Parameters<typeof addKey>[1]): Promise<MypaasError> =>
    addKey(home, key).then(
      () => assert.fail('it was added'),
      (error: MypaasError) => error,
    )
  assert.match((await refused({ line: 'oops' })).hint ?? '', /the public line as it is/)
  for (const options of [
    { services: ['Blog'] },
    { services: ['a"b'] },
    { services: ['blog'], publish: ['http'] },
    { publish: ['80'] },
  ]) {
    const { hint } = await refused({ line, ...options })
    assert.match(hint ?? '', /^For example: --services/)
  }
  const { publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
  const { n, e } = publicKey.export({ format: 'jwk' })
  const part = (data: Buffer): Buffer => {
    const length = Buffer.alloc(4)
    length.writeUInt32BE(data.length)
    return Buffer.concat([length, data])
  }
  const positive = Buffer.concat([Buffer.alloc(1), Buffer.from(n as string, 'base64url')])
  const blob = Buffer.concat([Buffer.from('ssh-rsa'), Buffer.from(e as string, 'base64url'), positive].map(part))
  const short = await refused({ line: `ssh-rsa ${blob.toString('base64')} anna` })
  assert.match(short.message, /an RSA key of 2048 bits is too short/)
  assert.match(short.hint ?? '', /^Make a longer one/)
  assert.match((await refused({ line, expires: '2020-01-31' })).message, /until 2020-01-31 \(UTC\), which is past/)
  await writeFile(join(home, 'authorized_keys'), `expires="2020-01-31" ${line}\n`, { mode: 0o600 })
  const expired = await refused({ line })
  assert.match(expired.message, /is there already, in line 1; it expired on 2020-01-31/)
  assert.match(expired.hint ?? '', /remove it first, then add it anew: mypaas server key rm SHA256:/)
})

test('keys are added once and removed by fingerprint or comment; every other line stays as it was', async (t) => {
  const home = await folder(t)
  const one = await fileKeyOf(join(home, 'a'))
  const two = await fileKeyOf(join(home, 'b'))
  await writeFile(join(home, 'authorized_keys'), `# mine\n${one.replace(/test$/, 'anna')}`, { mode: 0o600 })
  const { fingerprint } = await addKey(home, { line: two, services: ['blog'], expires: '2099-12-31', readOnly: true })
  assert.equal(
    await readFile(join(home, 'authorized_keys'), 'utf8'),
    `# mine\n${one.replace(/test$/, 'anna')}\nservices="blog",expires="2099-12-31",read-only ${two}\n`,
  )
  assert.equal((await stat(join(home, 'authorized_keys'))).mode & 0o777, 0o600)
  const usage = (error: unknown): boolean => error instanceof MypaasError && error.code === 'usage'
  await assert.rejects(addKey(home, { line: two }), usage)
  await assert.rejects(addKey(home, { line: 'ssh-ed25519 AAAA' }), usage)
  await assert.rejects(addKey(home, { line: `${two}\n${one}` }), usage)
  await assert.rejects(addKey(home, { line: two.replace('ssh-ed25519', 'services="*"') }), usage)
  await assert.rejects(removeKey(home, 'nobody'), usage)
  assert.equal((await removeKey(home, 'anna')).line, 2)
  await removeKey(home, fingerprint)
  assert.equal(await readFile(join(home, 'authorized_keys'), 'utf8'), '# mine\n')
})

test('a line of a hardware key is taken, and the server lets in who touched it, nobody else', async (t) => {
  const api = await testApi(t)
  const fido = securityKey()
  const { keys, problems } = parseKeys(`services="blog" ${fido.line}`)
  assert.deepEqual([problems, keys[0]?.comment, keys[0]?.services], [[], 'fido', ['blog']])
  assert.equal((await addKey(join(api.home, '_mypaas'), { line: fido.line })).fingerprint, keys[0]?.fingerprint)
  const call = async (flags: number): Promise<Reply> => {
    const statement = await api.statement({ purpose: 'call', action: 'no-such-action' })
    const signature = fido.sign(statement, 'statement@mypaas', { flags })
    return api.ask('POST', '/v1/call', JSON.stringify({ statement, signature }))
  }
  // Let in, and told that there is no such thing.
  assert.match((await call(1)).text, /knows no no-such-action/)
  assert.equal((await call(0)).status, 401)
  const { outcome, detail, key } = (await api.audit()).at(-1) ?? {}
  assert.deepEqual([outcome, detail, key], ['denied', 'wrong signature', keys[0]?.fingerprint])
})

test('key ls shows all that the line of a key says', async (t) => {
  const home = await mkdtemp(join(tmpdir(), 'mypaas-home-'))
  t.after(() => rm(home, { recursive: true, force: true }))
  await mkdir(join(home, '_mypaas'))
  const key = await userKeyOf(home)
  const words = ['server', 'key', 'add', '--services', 'blog', '--publish', '127.0.0.1:5432', '--own-layers', key]
  assert.equal((await mypaas(home, words)).code, 0)
  const { stdout } = await mypaas(home, ['server', 'key', 'ls'])
  assert.match(stdout, /^test +blog +deploys +own layers +publishes 127\.0\.0\.1:5432 +SHA256:/)
})
