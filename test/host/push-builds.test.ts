import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { NotFoundError } from '../../src/docker/index.ts'
import { runDaemon } from '../../src/server/daemon.ts'
import type { DockerfileReader } from '../../src/server/restrict.ts'
import { compiledProgram } from '../support/compiled.ts'
import { auditLog, initWith, quick, socketOf } from '../support/daemon.ts'
import { busyboxImage } from '../support/images.ts'
import { userKeyOf } from '../support/keys.ts'
import { until } from '../support/until.ts'
import { type CliResult, type World, world } from '../support/world.ts'

const secret = 'VICTIM-SOURCE-SECRET-42'

test('what the builder says of a build of a limited key counts, whatever was read in its Dockerfile', async (t) => {
  const w = await world(t, { program: await compiledProgram(t) })
  await initWith(w, { ...quick, builds_per_key: 2 })
  const base = await busyboxImage(w.docker)
  const victim = await victimOf(w, base)
  const ci = await mkdtemp(join(tmpdir(), 'mypaas-ci-'))
  t.after(() => rm(ci, { recursive: true, force: true }))
  await w.ok(['server', 'key', 'add', '--services', 'x-*', await userKeyOf(ci)])
  // It sees the plain base image, and nothing else.
  const blind: DockerfileReader = () => ({
    images: [{ reference: base, line: 2 }],
    remotes: [],
    problems: [],
  })
  await daemonHere(t, w, blind)
  const push = async (service: string, lines: readonly string[]): Promise<CliResult> => {
    const dockerfile = [`# mypaas.service=${service}`, ...lines, 'CMD ["sleep", "1000"]', ''].join('\n')
    return w.cli(['push', socketOf(w), await w.service(service, { dockerfile }), '--verbose'], { env: { HOME: ci } })
  }
  const loopback = createServer((_, response) => response.end('LOOPBACK-ONLY-SECRET\n'))
  await new Promise<void>((resolve) => loopback.listen(0, '127.0.0.1', resolve))
  t.after(() => loopback.close())
  const { port } = loopback.address() as AddressInfo

  const masked: [name: string, lines: string[], named: string][] = [
    ['an image as base', [`FROM ${victim}`, 'RUN cat /secret.txt'], victim],
    ['an escape in a flag', [`FROM ${base}`, `COPY --fr\\om=${victim} /secret.txt /s`, 'RUN cat /s'], victim],
    [
      'a field twice',
      [`FROM ${base}`, `RUN --mount=type=bind,from=${base},from=${victim},target=/v cat /v/secret.txt`],
      victim,
    ],
    [
      'a cache that begins with an image',
      [`FROM ${base}`, `RUN --mount=type=cache,from=${victim},target=/v cat /v/secret.txt`],
      victim,
    ],
    [
      'a stage that prints before the one with the image begins',
      [
        `FROM ${base} AS one`,
        'RUN echo innocent',
        `FROM ${victim} AS two`,
        'RUN cat /secret.txt',
        `FROM ${base}`,
        'COPY --from=one /bin/sh /one',
        'COPY --from=two /secret.txt /two',
      ],
      victim,
    ],
    ['a download', [`FROM ${base}`, `ADD http://127.0.0.1:${port}/x /x`, 'RUN cat /x'], `127.0.0.1:${port}`],
    ['a builder of somebody else', ['# syntax=docker.io/evil/frontend:1', `FROM ${base}`], 'evil/frontend'],
  ]
  for (const [number, [name, lines, named]] of masked.entries()) {
    await t.test(`${name} stops the build before anything of it is told`, async () => {
      const service = `x-masked${number}`
      const syntax = lines[0]?.startsWith('# syntax') ? lines[0] : undefined
      const { code, output } = syntax
        ? await w.cli(
            [
              'push',
              socketOf(w),
              await w.service(service, {
                dockerfile: [syntax, `# mypaas.service=${service}`, ...lines.slice(1), ''].join('\n'),
              }),
            ],
            { env: { HOME: ci } },
          )
        : await push(service, lines)
      assert.equal(code, 3, output)
      assert.match(output, /The build was stopped/)
      assert.ok(output.includes(named.replace(/^.*\//, '')), output)
      assert.doesNotMatch(output, new RegExp(`${secret}|LOOPBACK-ONLY`))
      assert.match(output, new RegExp(`Nothing of ${service} runs`))
      await assert.rejects(w.docker.images.inspect(`${w.instance}-${service}:r1`), NotFoundError)
      const last = await until(async () => (await auditLog(w)).findLast((entry) => entry['outcome'] === 'denied'), {
        what: 'a line in the audit log',
      })
      assert.equal(last['service'], service)
      assert.match(last['detail'] ?? '', /The build was stopped/)
    })
  }
})

/** An image of another service. @returns its name */
async function victimOf(w: World, base: string): Promise<string> {
  const directory = await w.service('victim', {
    dockerfile: `# mypaas.service=victim\nFROM ${base}\nRUN echo ${secret} > /secret.txt\nCMD ["sleep", "1000"]\n`,
  })
  await w.deploy(directory)
  return `${w.instance}-victim:r1`
}

/** The world's daemon, in this process. */
async function daemonHere(t: TestContext, w: World, read: DockerfileReader): Promise<void> {
  const ending = new AbortController()
  const lines: string[] = []
  const mask = process.umask(0o077)
  t.after(() => process.umask(mask))
  const running = runDaemon({ home: w.home, log: (line) => lines.push(line), signal: ending.signal, read })
  t.after(async () => {
    ending.abort()
    await running
  })
  await until(() => lines.some((line) => /listens on \S+daemon\.sock/.test(line)) || undefined, {
    what: 'the daemon',
  })
}
