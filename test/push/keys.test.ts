import assert from 'node:assert/strict'
import { type ChildProcess, execFile, execFileSync, spawn } from 'node:child_process'
import { generateKeyPairSync } from 'node:crypto'
import { once } from 'node:events'
import { watch } from 'node:fs'
import { mkdir, mkdtemp, readdir, readFile, rm, stat, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { promisify } from 'node:util'
import { MypaasError } from '../../src/errors.ts'
import { asPem, findKeys, generateKey, initKey, type UserKey } from '../../src/push/keys.ts'
import { fingerprint, sign, verify } from '../../src/push/signature.ts'
import { keyOfSignature } from '../../src/ssh/sshsig.ts'
import { fileKeyOf, userKeyOf } from '../support/keys.ts'
import { securityKey } from '../support/security-key.ts'
import { until } from '../support/until.ts'

const exec = promisify(execFile)
const text = 'mypaas statement 1\nwhatever\n'

async function home(t: TestContext): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'mypaas-home-'))
  t.after(() => rm(path, { recursive: true, force: true }))
  const before = { agent: process.env['SSH_AUTH_SOCK'], key: process.env['MYPAAS_PRIVATE_KEY'] }
  delete process.env['SSH_AUTH_SOCK']
  delete process.env['MYPAAS_PRIVATE_KEY']
  t.after(() => {
    for (const [name, value] of [
      ['SSH_AUTH_SOCK', before.agent],
      ['MYPAAS_PRIVATE_KEY', before.key],
    ] as const) {
      if (value === undefined) delete process.env[name]
      else process.env[name] = value
    }
  })
  return path
}

/** A real ssh-agent of the test's own. */
async function agent(t: TestContext, folder: string, ...files: string[]): Promise<void> {
  const socket = join(folder, 'agent.sock')
  const child: ChildProcess = spawn('ssh-agent', ['-D', '-a', socket], { stdio: ['ignore', 'pipe', 'ignore'] })
  t.after(() => child.kill())
  await once(child.stdout as NodeJS.ReadableStream, 'data')
  process.env['SSH_AUTH_SOCK'] = socket
  for (const file of files) await exec('ssh-add', ['-q', file])
}

async function assertSigns(key: UserKey, line: string): Promise<void> {
  const publicKey = line.split(' ').slice(0, 2).join(' ')
  assert.equal(key.public, publicKey)
  const signature = await key.sign(text)
  assert.equal(verify(text, signature, publicKey), true)
  assert.equal(verify(`${text} `, signature, publicKey), false)
  assert.equal(keyOfSignature(signature), publicKey.split(' ')[1])
  assert.equal(fingerprint(publicKey.split(' ')[1] as string), key.fingerprint)
}

for (const [type, bits] of [['ed25519'], ['ecdsa', 256], ['ecdsa', 384], ['ecdsa', 521], ['rsa', 3072]] as const) {
  test(`a key of ${type} ${bits ?? ''} signs from its file, and ssh-keygen agrees`, async (t) => {
    const folder = await home(t)
    const line = await userKeyOf(folder, { type, ...(bits ? { bits } : {}) })
    const [key] = await findKeys({ home: folder })
    assert.ok(key)
    await assertSigns(key, line)
    const signature = await key.sign(text)
    const checked = execFileSync(
      'ssh-keygen',
      ['-Y', 'check-novalidate', '-n', 'statement@mypaas', '-s', '/dev/fd/3'],
      {
        input: text,
        stdio: ['pipe', 'pipe', 'pipe', await signatureFile(t, signature)],
      },
    ).toString()
    assert.match(checked, /^Good "statement@mypaas" signature/)
    const lines = signature.split('\n')
    const body = lines[lines.length - 4] as string
    const tampered = signature.replace(body, `${body.slice(0, 10)}${body[10] === 'A' ? 'B' : 'A'}${body.slice(11)}`)
    assert.equal(verify(text, tampered, key.public), false)
  })
}

test('the agent signs with a key that has a passphrase; the file of it is not read', async (t) => {
  const folder = await home(t)
  const line = await userKeyOf(folder, { passphrase: 'secret words' })
  const plain = await fileKeyOf(join(folder, 'plain'))
  await agent(t, folder, join(folder, 'plain'))
  // ssh-add asks by a program where there is no terminal.
  await exec('ssh-add', ['-q', join(folder, '.ssh', 'id_ed25519')], {
    env: { ...process.env, SSH_ASKPASS_REQUIRE: 'force', SSH_ASKPASS: await askpass(folder, 'secret words') },
  })
  const keys = await findKeys({ home: folder })
  assert.deepEqual(
    keys.map(({ source }) => source),
    ['the agent (test)', 'the agent (test)'],
  )
  await assertSigns(keys[0] as UserKey, plain)
  await assertSigns(keys[1] as UserKey, line)
})

test('without a terminal nothing asks for a passphrase: it says so at once', async (t) => {
  const folder = await home(t)
  await userKeyOf(folder, { passphrase: 'secret words' })
  const [key] = await findKeys({ home: folder })
  const begin = performance.now()
  await assert.rejects(
    (key as UserKey).sign(text),
    (error) =>
      error instanceof MypaasError && error.code === 'unauthorised' && /MYPAAS_PRIVATE_KEY/.test(error.hint ?? ''),
  )
  assert.ok(performance.now() - begin < 5000)
})

test('MYPAAS_PRIVATE_KEY holds a key however it was squeezed in, and is gone from the environment at once', async (t) => {
  const folder = await home(t)
  const line = await fileKeyOf(join(folder, 'k'))
  const pem = await readFile(join(folder, 'k'), 'utf8')
  const rsaLine = await fileKeyOf(join(folder, 'r'), { type: 'rsa', bits: 3072, format: 'PKCS8' })
  const rsa = await readFile(join(folder, 'r'), 'utf8')
  assert.match(rsa, /BEGIN PRIVATE KEY/)
  const left = async () => (await readdir(tmpdir())).filter((name) => name.startsWith('mypaas-key-'))
  for (const [value, of] of [
    [pem, line],
    [pem.trim(), line],
    [pem.replaceAll('\n', '\\n'), line],
    [pem.replaceAll('\n', '_'), line],
    [pem.replaceAll('\n', ' '), line],
    [Buffer.from(pem).toString('base64'), line],
    [rsa, rsaLine],
    [rsa.replaceAll('\n', '_'), rsaLine],
  ] as const) {
    process.env['MYPAAS_PRIVATE_KEY'] = value
    const [key] = await findKeys({ home: folder }).catch((error: Error) =>
      assert.fail(`${JSON.stringify(value.slice(0, 60))}: ${error.message}`),
    )
    assert.equal(process.env['MYPAAS_PRIVATE_KEY'], undefined)
    assert.equal(key?.source, 'MYPAAS_PRIVATE_KEY')
    await assertSigns(key as UserKey, of)
  }
  assert.deepEqual(await left(), [])
  assert.equal(asPem(pem), pem)
})

test('a variable that holds no key says what it takes, and never what it holds', async (t) => {
  const folder = await home(t)
  const pkcs8 = generateKeyPairSync('x25519').privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()
  for (const value of ['s3cr3t', Buffer.from('s3cr3t').toString('base64'), pkcs8]) {
    process.env['MYPAAS_PRIVATE_KEY'] = value
    await assert.rejects(findKeys({ home: folder }), (error) => {
      assert.ok(error instanceof MypaasError)
      assert.equal(error.code, 'unauthorised')
      assert.doesNotMatch(`${error.message} ${error.hint}`, /s3cr3t|MC4C/)
      return true
    })
  }
})

test('who has no key is told how to make one, and init makes it once', async (t) => {
  const folder = await home(t)
  await assert.rejects(
    findKeys({ home: folder }),
    (error) =>
      error instanceof MypaasError && error.code === 'unauthorised' && /mypaas key init/.test(error.hint ?? ''),
  )
  const first = await initKey(folder)
  assert.equal(first.made, true)
  const again = await initKey(folder)
  assert.deepEqual([again.made, again.key.public], [false, first.key.public])
  await assertSigns(again.key, first.key.public)
  await assert.rejects(
    findKeys({ home: folder, keyFile: join(folder, 'no') }),
    (error) => error instanceof MypaasError && error.code === 'usage',
  )
})

test('a key for a machine is one line, good for the variable', async (t) => {
  const folder = await home(t)
  const made = generateKey('ci')
  assert.match(made.private, /^[A-Za-z0-9+/=]+$/)
  process.env['MYPAAS_PRIVATE_KEY'] = made.private
  const [key] = await findKeys({ home: folder })
  await assertSigns(key as UserKey, made.public)
  assert.match(made.public, / ci$/)
})

test('a signature for another namespace is none of ours', async (t) => {
  const folder = await home(t)
  const line = await fileKeyOf(join(folder, 'k'))
  const foreign = execFileSync('ssh-keygen', ['-Y', 'sign', '-q', '-n', 'git', '-f', join(folder, 'k')], {
    input: text,
  }).toString()
  const own = await sign(text, join(folder, 'k'))
  const key = line.split(' ').slice(0, 2).join(' ')
  assert.equal(verify(text, foreign, key), false)
  assert.equal(verify(text, own, key), true)
})

test('a hardware key signs when it is touched, and only then', async () => {
  const key = securityKey()
  const publicKey = key.line.split(' ').slice(0, 2).join(' ')
  const good = key.sign(text, 'statement@mypaas')
  assert.equal(keyOfSignature(good), publicKey.split(' ')[1])
  assert.equal(verify(text, good, publicKey), true)
  assert.equal(verify(text, key.sign(text, 'statement@mypaas', { flags: 5 }), publicKey), true)
  for (const [what, signature] of [
    ['not touched', key.sign(text, 'statement@mypaas', { flags: 0 })],
    ['verified but not touched', key.sign(text, 'statement@mypaas', { flags: 4 })],
    ['another text', key.sign(`${text} `, 'statement@mypaas')],
    ['another namespace', key.sign(text, 'git')],
    ['for a web site', key.sign(text, 'statement@mypaas', { application: 'https://example.com' })],
    ['another key', securityKey().sign(text, 'statement@mypaas')],
  ] as const)
    assert.equal(verify(text, signature, publicKey), false, what)
})

for (const [format, type] of [
  ['RFC4716', 'ed25519'],
  ['PKCS8', 'rsa'],
] as const) {
  test(`on a terminal ssh-keygen asks for the passphrase of a file (${type}, ${format})`, async (t) => {
    const folder = await home(t)
    const file = join(folder, 'key')
    const line = await fileKeyOf(file, {
      type,
      format,
      passphrase: 'secret words',
      ...(type === 'rsa' ? { bits: 3072 } : {}),
    })
    const module = new URL('../../src/push/signature.ts', import.meta.url).href
    const code = `const { sign } = await import(${JSON.stringify(module)}); console.log(await sign(${JSON.stringify(text)}, ${JSON.stringify(file)}))`
    const command = [process.execPath, '--import', import.meta.resolve('tsx'), '--input-type=module', '-e', code]
    const child = spawn(
      'script',
      ['-qefc', command.map((word) => `'${word.replaceAll("'", "'\\''")}'`).join(' '), '/dev/null'],
      {
        stdio: ['pipe', 'pipe', 'ignore'],
        timeout: 30_000,
      },
    )
    let said = ''
    child.stdout.setEncoding('utf8').on('data', (part: string) => {
      if (!said.includes('passphrase') && (said + part).includes('passphrase')) child.stdin.write('secret words\n')
      said += part
    })
    await once(child, 'close')
    const signature = /-----BEGIN[\s\S]*-----END SSH SIGNATURE-----/.exec(said.replaceAll('\r', ''))?.[0]
    assert.ok(signature, said)
    assert.equal(verify(text, `${signature}\n`, line.split(' ').slice(0, 2).join(' ')), true)
  })
}

test('an ed25519 key in a PEM file works, or what to do is said; in the variable it works', async (t) => {
  const folder = await home(t)
  const pem = generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()
  const file = join(folder, '.ssh', 'id_ed25519')
  const other = await fileKeyOf(file)
  await writeFile(file, pem, { mode: 0o600 })
  const says = (error: unknown): boolean =>
    error instanceof MypaasError && /OpenSSH (from )?9\.6|mypaas key gen/.test(error.hint ?? '')
  // OpenSSH 9.6 reads it.
  const isRead = (await exec('ssh-keygen', ['-y', '-f', file]).catch(() => undefined)) !== undefined
  const [beside] = await findKeys({ home: folder })
  assert.equal(beside?.public, other.split(' ').slice(0, 2).join(' '))
  if (!isRead) await assert.rejects((beside as UserKey).sign(text), says)
  await rm(`${file}.pub`)
  if (isRead) assert.ok(await ((await findKeys({ keyFile: file }))[0] as UserKey).sign(text))
  else await assert.rejects(findKeys({ keyFile: file }), says)
  process.env['MYPAAS_PRIVATE_KEY'] = pem
  const [key] = await findKeys({ home: folder })
  await assertSigns(key as UserKey, (key as UserKey).public)
})

test('the key of the variable never lies in a file, not even for a moment', async (t) => {
  const folder = await home(t)
  const scratch = join(folder, 'tmp')
  await mkdir(scratch)
  const before = { tmp: process.env['TMPDIR'], run: process.env['XDG_RUNTIME_DIR'] }
  process.env['TMPDIR'] = scratch
  process.env['XDG_RUNTIME_DIR'] = scratch
  t.after(() => {
    for (const [name, value] of [
      ['TMPDIR', before.tmp],
      ['XDG_RUNTIME_DIR', before.run],
    ] as const) {
      if (value === undefined) delete process.env[name]
      else process.env[name] = value
    }
  })
  const seen: string[] = []
  const watcher = watch(folder, { recursive: true }, (_, name) => seen.push(String(name)))
  t.after(() => watcher.close())
  const made = generateKey('ci')
  process.env['MYPAAS_PRIVATE_KEY'] = made.private
  const [key] = await findKeys({ home: folder })
  for (let number = 0; number < 10; number += 1) await key?.sign(text)
  // What is seen when something is written:
  await writeFile(join(scratch, 'file'), '')
  await until(() => seen.length > 0, { what: 'the watcher to see a file' })
  assert.deepEqual([...new Set(seen)], [join('tmp', 'file')])
})

test('what older versions left of a key when they were killed is removed, once it is an hour old', async (t) => {
  const folder = await home(t)
  await userKeyOf(folder)
  const [old, young] = (await Promise.all([0, 1].map(() => mkdtemp(join(tmpdir(), 'mypaas-key-'))))) as [string, string]
  t.after(() => rm(young, { recursive: true, force: true }))
  for (const path of [old, young]) await writeFile(join(path, 'key'), 'PRIVATE')
  const hours = Date.now() / 1000 - 3700
  await utimes(old, hours, hours)
  await findKeys({ home: folder })
  await assert.rejects(stat(old))
  await stat(young)
})

async function signatureFile(t: TestContext, signature: string): Promise<number> {
  const { open } = await import('node:fs/promises')
  const folder = await mkdtemp(join(tmpdir(), 'mypaas-signature-'))
  await writeFile(join(folder, 's'), signature)
  const handle = await open(join(folder, 's'))
  t.after(async () => {
    await handle.close()
    await rm(folder, { recursive: true })
  })
  return handle.fd
}

async function askpass(folder: string, passphrase: string): Promise<string> {
  const file = join(folder, 'askpass')
  await writeFile(file, `#!/bin/sh\necho '${passphrase}'\n`, { mode: 0o700 })
  return file
}
