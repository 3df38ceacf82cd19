import assert from 'node:assert/strict'
import { generateKeyPairSync, randomBytes, sign } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import http from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { test } from 'node:test'
import { keyLine } from '../../src/push/server-key.ts'
import { certify } from '../support/certificates.ts'
import { compiledProgram } from '../support/compiled.ts'
import { auditLog, initWith, quick, socketOf, startDaemon } from '../support/daemon.ts'
import { type Answer, fakeDaemon } from '../support/fake-daemon.ts'
import { userKeyOf } from '../support/keys.ts'
import { gateway } from '../support/secured.ts'
import { startSshd } from '../support/sshd.ts'
import { until } from '../support/until.ts'
import { freePort, world } from '../support/world.ts'

test('a push goes through the router by https, and by ssh; both end with the same server, from any machine', async (t) => {
  const w = await world(t, { program: await compiledProgram(t) })
  const daemonPort = await freePort()
  await initWith(w, { ...quick, domain: 'localhost', daemon_port: daemonPort })
  const ca = await certify(w, 'localhost')
  // Another machine: another home, with a key of its own.
  const laptop = await mkdtemp(join(tmpdir(), 'mypaas-laptop-'))
  t.after(() => rm(laptop, { recursive: true, force: true }))
  await w.ok(['server', 'key', 'add', await userKeyOf(laptop)])
  const daemon = await startDaemon(t, w, { gateway: true })
  const directory = await w.service('web', { directives: ['url=http://web.test'] })
  const https = `https://localhost:${w.ports.https}`
  const env = { HOME: laptop, NODE_EXTRA_CA_CERTS: ca }

  await t.test('a certificate that nobody vouches for ends it before anything is sent', async () => {
    const refused = await w.cli(['push', https, directory], { env: { HOME: laptop } })
    assert.equal(refused.code, 1)
    assert.match(refused.stderr, /its certificate is not good/)
    assert.deepEqual(await auditLog(w), [])
  })

  await t.test('by https', async () => {
    await until(async () => (await w.cli(['status', https], { env })).code === 0, {
      what: 'the router to have the certificate',
      timeoutMs: 15_000,
    })
    const pushed = await w.ok(['push', https, directory], { env })
    assert.match(pushed.stdout, /http:\/\/web\.test/)
    assert.equal((await w.request('http://web.test/')).status, 200)
    const entry = (await auditLog(w)).at(-1)
    assert.deepEqual([entry?.['action'], entry?.['outcome'], entry?.['who']], ['push', 'done', 'test'])
    assert.match(entry?.['from'] ?? '', / by \d/)
  })

  await t.test('by a name from the client config, with a CA of its own', async () => {
    await w.ok(['remote', 'add', 'prod', https, '--ca', ca], { env: { HOME: laptop } })
    const status = await w.ok(['status', 'prod', '--json'], { env: { HOME: laptop } })
    assert.equal((JSON.parse(status.stdout) as { service: string }[])[0]?.service, 'web')
  })

  await t.test('by ssh', async (inner) => {
    const { server, env: sshEnv } = await startSshd(inner, w, await freePort())
    const all = { ...sshEnv, HOME: laptop }
    await writeFile(join(directory, 'by-ssh.txt'), randomBytes(3 * 1024 * 1024))
    const pushed = await w.ok(['push', server, directory], { env: all })
    assert.match(pushed.stderr, /sent 3\.0 MiB/)
    const releases = JSON.parse((await w.ok(['releases', server, 'web', '--json'], { env: all })).stdout) as {
      releases: { release: number; entry: { who: string } }[]
    }
    assert.deepEqual(
      releases.releases.map(({ release, entry }) => [release, entry.who]),
      [
        [2, 'test'],
        [1, 'test'],
      ],
    )
    const stranger = await w.cli(['status', server], { env: { ...sshEnv, HOME: join(laptop, 'nobody') } })
    assert.equal(stranger.code, 3)
    assert.match(stranger.stderr, /no key to sign with/)
  })

  await t.test('logs and commands go both ways, too: input, output, errors and exit code', async (inner) => {
    const { server, env: sshEnv } = await startSshd(inner, w, await freePort())
    const script =
      'process.stdin.on("data", (d) => process.stdout.write(d)).on("end", () => { console.error("wrong"); process.exit(7) })'
    for (const [way, there, all] of [
      ['https', https, env],
      ['ssh', server, { ...sshEnv, HOME: laptop }],
    ] as const) {
      const ran = await w.cli(['exec', there, 'web', '--', 'node', '-e', script], { env: all, input: 'a\nb\n' })
      assert.deepEqual([way, ran.code, ran.stdout, ran.stderr], [way, 7, 'a\nb\n', 'wrong\n'])
      const following = w.spawnCli(['logs', there, 'web', '-f'], { env: all })
      await following.seen(/r2-1 \| listening on/)
      following.kill('SIGINT')
      const { code, stderr } = await following.result
      assert.deepEqual([way, code, stderr], [way, 0, ''])
      const words = ['exec', there, 'web', '--', 'node', '-e', 'console.log("up"); setInterval(() => {}, 1000)']
      const running = w.spawnCli(words, { env: all })
      await running.seen(/up/)
      running.kill('SIGINT')
      const ended = await running.result
      assert.deepEqual([way, ended.code, ended.stderr], [way, 130, '✗ Stopped on request.\n'])
      const [id] = (await w.containers('web')).map(({ Id }) => Id)
      const isOver = async (): Promise<boolean> => {
        const { Processes } = await w.docker.containers.top(id as string)
        return !JSON.stringify(Processes).includes('setInterval')
      }
      await until(isOver, { what: `the end of the command over ${way}` })
    }
  })

  await t.test('what is signed for one way does not count for the other, and a stranger learns nothing', async () => {
    const nobody = await mkdtemp(join(tmpdir(), 'mypaas-nobody-'))
    t.after(() => rm(nobody, { recursive: true, force: true }))
    await userKeyOf(nobody)
    const refused = await w.cli(['push', https, directory], { env: { ...env, HOME: nobody } })
    assert.equal(refused.code, 3)
    assert.match(refused.stderr, /takes none of your keys/)
    assert.match(refused.stderr, /mypaas server key add 'ssh-ed25519 /)
    assert.equal((await auditLog(w)).at(-1)?.['outcome'], 'denied')
  })

  await t.test('a deploy that fails over there says so as it would there, and the old release serves', async () => {
    await w.service('web', { directives: ['url=http://web.test'], app: { EXIT_AFTER: '0' }, lines: ['RUN exit 7'] })
    const failed = await w.cli(['push', https, directory], { env })
    assert.equal(failed.code, 1)
    assert.match(failed.stderr, /The build failed/)
    assert.match(failed.stderr, /r2 serves as before/)
    const attached = await w.cli(['attach', https], { env })
    assert.equal(attached.code, 1)
    assert.match(attached.stderr, /The build failed/)
    const wrong = await w.cli(['push', https, await w.service('bad', { directives: ['prot=80'] })], { env })
    assert.equal(wrong.code, 2)
    assert.match(wrong.stderr, /prot/)
    const unexpected = await w.cli(['push', https, directory, '--expect', 'r1'], { env })
    assert.equal(unexpected.code, 4)
    assert.match(unexpected.stderr, /The current release of web is r2, not r1/)
  })

  await t.test('secrets are set from stdin and never shown', async () => {
    await w.ok(['env', 'set', https, 'TOKEN', '--service', 'web'], { env, input: 's3cr3t "quoted"\n' })
    assert.equal((await w.ok(['env', 'ls', https, '--service', 'web'], { env })).stdout, 'TOKEN\n')
    await w.service('web', { directives: ['url=http://web.test', 'env=TOKEN'] })
    const pushed = await w.ok(['push', https, directory, '-v'], { env })
    assert.doesNotMatch(pushed.output, /s3cr3t/)
    const [id] = (await w.containers('web')).map(({ Id }) => Id)
    const { Config } = await w.docker.containers.inspect(id as string)
    assert.ok(Config.Env?.includes('TOKEN=s3cr3t "quoted"'))
    const changed = await w.ok(['env', 'set', https, 'TOKEN', '--service', 'web'], { env, input: 'n3w' })
    assert.match(
      changed.stderr,
      /^TOKEN is set\. web runs with the older value until a deploy or restart: mypaas restart \S+ web$/m,
    )
    await w.ok(['restart', https, 'web'], { env })
    const same = await w.ok(['env', 'set', https, 'TOKEN', '--service', 'web'], { env, input: 'n3w' })
    assert.equal(same.stderr, 'TOKEN is set.\n')
    const removed = await w.ok(['env', 'rm', https, 'TOKEN', '--service', 'web'], { env })
    assert.match(
      removed.stderr,
      /^TOKEN is removed\. web runs on with it until a deploy or restart, and can't be started again without it\.$/m,
    )
    assert.equal((await w.ok(['env', 'ls', https, '--service', 'web'], { env })).stdout, '')
  })

  assert.doesNotMatch(JSON.stringify(await auditLog(w)), /s3cr3t|n3w/)
  assert.equal((await w.cli(['status', socketOf(w)], { env })).code, 0)

  await t.test(
    'a server that is known by ssh is known by https, and its new key is followed by both',
    async (inner) => {
      const { server, env: sshEnv } = await startSshd(inner, w, await freePort())
      const all = { ...env, ...sshEnv, MYPAAS_SERVER_KEY: '', XDG_CONFIG_HOME: join(laptop, 'fresh') }
      const stranger = await w.cli(['status', server], { env: all })
      assert.equal(stranger.code, 3)
      assert.match(stranger.stderr, /is not known here, and there is no terminal to ask on: nothing was signed/)
      const pin = (await w.ok(['server', 'identity', 'show'])).stdout.trim()
      await w.ok(['status', `${server}#${pin}`], { env: all })
      assert.match((await w.ok(['status', https], { env: all })).stderr, /is the server that is known here as ssh:/)
      const next = (await w.ok(['server', 'identity', 'rotate'])).stdout.trim()
      const followed = await w.ok(['status', https], { env: all })
      assert.ok(followed.stderr.includes(`has a new key, signed by its old one: ${next}`), followed.stderr)
      assert.equal((await w.ok(['status', server], { env: all })).stderr, '')
    },
  )

  await t.test(
    'what answers in the daemon’s place, behind router and sshd, gets neither signature nor secret',
    async (inner) => {
      const { server, env: sshEnv } = await startSshd(inner, w, await freePort())
      const all = { ...env, ...sshEnv, MYPAAS_SERVER_KEY: '', XDG_CONFIG_HOME: join(laptop, 'fresh') }
      await w.ok(['status', server], { env: all })
      const socket = join(w.home, '_mypaas', 'daemon.sock')
      const asked = { host: 'ssh', nonce: 'x'.repeat(43) }
      const recorded = await challengeAt(socket, asked)
      daemon.kill('SIGTERM')
      await daemon.result
      const fakes = [
        await fakeDaemon(inner, { host: await gateway(w), port: daemonPort }),
        await fakeDaemon(inner, socket),
      ]
      const own = generateKeyPairSync('ed25519').privateKey
      const { protocol, server: id, nonce, time, limits } = recorded
      const kinds: [string, (body: string) => Answer, RegExp][] = [
        ['as older ones do', () => ({ protocol, server: id, nonce, time, limits }), /does not sign its challenges/],
        ['a recorded one', () => recorded, /for somebody else, or from an earlier time/],
        [
          'signed by itself',
          (body) => {
            const { host, nonce: question } = JSON.parse(body) as { host: string; nonce: string }
            const text = String(recorded['challenge'])
              .replace(asked.nonce, question)
              .replace(/^host ssh$/m, `host ${host}`)
            const signature = sign(null, Buffer.from(text), own).toString('base64')
            return { ...recorded, challenge: text, key: keyLine(own), signature }
          },
          /is not the server that it was/,
        ],
      ]
      for (const there of [https, server])
        for (const [kind, answer, message] of kinds) {
          for (const fake of fakes) fake.answer((_, body) => answer(body))
          const refused = await w.cli(['env', 'set', there, 'DB_PASSWORD'], { env: all, input: 'the-new-password' })
          assert.equal(refused.code, 3, `${there} ${kind}: ${refused.output}`)
          assert.match(refused.stderr, message)
        }
      assert.deepEqual(
        fakes.map(({ got, challenges }) => [got, challenges.length]),
        [
          [[], kinds.length],
          [[], kinds.length],
        ],
      )
    },
  )
})

/** What a daemon says on its socket to a question. */
function challengeAt(socketPath: string, asked: Answer): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const request = http.request({ socketPath, method: 'POST', path: '/v1/challenge' }, (response) => {
      text(response).then((all) => resolve(JSON.parse(all) as Answer), reject)
    })
    request.on('error', reject)
    request.end(JSON.stringify(asked))
  })
}
