import assert from 'node:assert/strict'
import { once } from 'node:events'
import { chmod, readFile, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { after, type TestContext, test } from 'node:test'
import { wrong } from '../service/wrong.ts'
import { compiledProgram } from '../support/compiled.ts'
import { nodeImage } from '../support/images.ts'
import { inventory } from '../support/inventory.ts'
import { spyOnEngine } from '../support/spy.ts'
import { type CliResult, freePort, type ServiceFiles, type World, world } from '../support/world.ts'

const program = await compiledProgram({ after })

type Failure = Readonly<{ files: ServiceFiles; says: readonly RegExp[] }>

test('a new release that does not come up: exit code 1, the reason, the old one serves, nothing is left', async (t) => {
  const w = await initialised(t)
  const base = await nodeImage(w.docker)
  const url = 'url=http://web.test'
  const running = (command: string, ...directives: string[]): ServiceFiles => ({
    dockerfile: `# mypaas.service=web\n# mypaas.${url}\n${directives.map((line) => `# mypaas.${line}\n`).join('')}FROM ${base}\n${command}\n`,
  })
  const failures: Readonly<Record<string, Failure>> = {
    'it exits at once': {
      files: { directives: [url, 'scale=1'], app: { EXIT_AFTER_MS: 1, EXIT_CODE: 7 } },
      says: [/web-r\d+-1 exited with code 7 \d\.\d s after its start\./, /│ exits after 1 ms as told\n/],
    },
    'one replica of three exits': {
      files: { directives: [url, 'scale=3'], app: { FAIL_REPLICA: 2 } },
      says: [/web-r\d+-2 exited with code 1 /, /│ this replica was told to fail\n/],
    },
    'it ends with success instead of going on': {
      files: running('CMD ["true"]', 'scale=1'),
      says: [/exited with code 0 /, /A service must go on running/],
    },
    'it never opens its port': {
      files: { directives: [url, 'scale=1'], app: { LISTEN_DELAY_MS: 600_000 } },
      says: [/web-r\d+-1 did not open port 80 within 3 s\./, /It listens on no port\. Make it listen on 0\.0\.0\.0:80/],
    },
    'it listens on another port': {
      files: { directives: [url], app: { PORT: 3000 } },
      says: [/did not open port 80 within 3 s\./, /It listens on 3000: set # mypaas\.port=3000/, /│ listening on /],
    },
    'it listens inside its container only': {
      files: { directives: [url, 'scale=1', 'port=8080'], app: { HOST: '127.0.0.1' } },
      says: [/did not open port 8080/, /It listens on 127\.0\.0\.1:8080 only, .*: bind 0\.0\.0\.0\./],
    },
    'its command is not in the image': {
      files: running('CMD ["no-such-server", "--port", "80"]', 'scale=1'),
      says: [/Its command no-such-server is not there\./, /Check the CMD or ENTRYPOINT of the Dockerfile\./],
    },
    'its command can not be executed': {
      files: running('CMD ["/etc/passwd"]', 'scale=1'),
      says: [/Its command \/etc\/passwd is not executable\./, /Check the CMD or ENTRYPOINT of the Dockerfile\./],
    },
    'the shell does not find its command': {
      files: running('CMD no-such-server --port 80', 'scale=1'),
      says: [/exited with code 127 /, /│ .*no-such-server: not found/],
    },
    'its script has Windows line ends': {
      files: {
        ...running('COPY run.sh /\nCMD ["/run.sh"]', 'scale=1'),
        files: { 'run.sh': '#!/bin/sh\r\nexec true\r\n' },
      },
      says: [
        /exited with code 127 /,
        /\/run\.sh has Windows line ends \(CRLF\), so that it asks for "\/bin\/sh\\r"\. Convert it: sed /,
      ],
    },
    'a script that the shell reads has them, with env': {
      files: {
        ...running('COPY run.sh ./\nCMD ./run.sh --fast'),
        files: { 'run.sh': '#!/usr/bin/env node\r\nprocess.exit(0)\r\n' },
      },
      says: [/\/app\/run\.sh has Windows line ends \(CRLF\), so that it asks for "\/usr\/bin\/env node\\r"/],
    },
    'its script wants an interpreter that is not in the image': {
      files: { ...running('COPY run.py /\nCMD ["/run.py"]'), files: { 'run.py': '#!/usr/bin/python3 -u\nprint(1)\n' } },
      says: [/The first line of \/run\.py asks for \/usr\/bin\/python3, which is not in the image\./],
    },
    'its program is built for another system': {
      files: {
        ...running('COPY run /usr/local/bin/\nCMD ["/usr/local/bin/run"]'),
        files: { run: otherLoader(await readFile('/bin/true')) },
      },
      says: [/\/usr\/local\/bin\/run is there, but what it needs to start is not/],
    },
    'it needs more memory than it may have': {
      files: running(`CMD ["node", "-e", "for (const all = [];;) all.push(Buffer.alloc(1e7, 1))"]`, 'maxmem=60m'),
      says: [/web-r\d+-1 ran out of memory /, /Give it more with # mypaas\.maxmem=/],
    },
    'its healthcheck path answers 503': {
      files: {
        directives: [url, 'scale=1', 'healthcheck=/ready 1s 500ms'],
        app: { READY_PATH: '/ready', UNREADY_MS: 600_000 },
      },
      says: [/web-r\d+-1 answers 503 on \/ready \(healthcheck\) after 3 s\./, /raise start_timeout/],
    },
    'the HEALTHCHECK of its image says no': {
      files: {
        directives: [url, 'scale=1'],
        lines: ['HEALTHCHECK --interval=200ms --retries=2 CMD echo the disk is full; exit 3'],
      },
      says: [/web-r\d+-1 is unhealthy: its HEALTHCHECK ended with exit code [13]: the disk is full/],
    },
    'it answers 500, old and new side by side': {
      files: { directives: [url, 'scale=1'], app: { STATUS: 500 } },
      says: [/web-r\d+-1 answers 500 on http:\/\/web\.test after 3 s\./, /a status below 500/, /│ listening on /],
    },
  }
  await w.deploy(await w.service('web', { directives: [url] }))
  const before = await inventory(w)
  for (const [how, { files, says }] of Object.entries(failures)) {
    await t.test(how, async () => {
      const directory = await w.service('web', files)
      for (const file of Object.keys(files.files ?? {})) await chmod(join(directory, file), 0o755)
      const result = await w.cli(['server', 'deploy', directory])
      assertSays(result, 1, [...says, /^ {2}r1 serves as before\.$/m])
      assert.deepEqual(await inventory(w), before)
      assert.equal((await w.request('http://web.test/')).json()['release'], 'r1')
    })
  }
  await t.test('a new one that works takes over after all that', async () => {
    await w.deploy(await w.service('web', { directives: [url] }))
    assert.equal((await w.request('http://web.test/')).status, 200)
  })
})

test('a first release that does not come up leaves no container, no image and no route', async (t) => {
  const w = await initialised(t)
  const before = await inventory(w)
  const directory = await w.service('first', { directives: ['url=http://first.test'], app: { EXIT_AFTER_MS: 1 } })
  assertSays(await w.cli(['server', 'deploy', directory]), 1, [/Nothing of first runs\./])
  const { files, ...engine } = await inventory(w)
  const { files: filesBefore, ...engineBefore } = before
  assert.deepEqual(engine, engineBefore)
  // The journal keeps the number, which is not used twice.
  const left = files.filter((file) => !filesBefore.includes(file))
  assert.deepEqual(left, ['services/first.json'])
  assert.equal((await w.request('http://first.test/')).status, 404)

  await t.test('nor does one whose host port something else has', async () => {
    const server = createServer().listen(0, '127.0.0.1')
    t.after(() => server.close())
    await once(server, 'listening')
    const { port } = server.address() as { port: number }
    const own = await w.service('first', { directives: [`publish=127.0.0.1:${port}:80`] })
    assertSays(await w.cli(['server', 'deploy', own]), 1, [
      new RegExp(`first-r2-1 can't publish 127\\.0\\.0\\.1:${port}: something else on this machine has that port\\.`),
      /# mypaas\.publish=/,
    ])
    assert.deepEqual((await inventory(w)).containers, before.containers)
  })
})

test('a build that fails tells the step, its exit code and its last lines, and changes nothing', async (t) => {
  const w = await initialised(t)
  const base = await nodeImage(w.docker)
  await w.deploy(await w.service('web', { directives: ['url=http://web.test'] }))
  const before = await inventory(w)
  const builds: Readonly<Record<string, readonly [lines: string, says: readonly RegExp[]]>> = {
    'a command that fails': [
      `FROM ${base}\nRUN echo so far so good\nRUN for i in 1 2 3; do echo line $i; done; echo the reason >&2; exit 42`,
      [/RUN for i in 1 2 3/, /exit code:? 42/, /line 3\n/, /the reason\n/],
    ],
    'a file that is not there': [`FROM ${base}\nCOPY nothing.txt /\n`, [/COPY nothing\.txt/, /not found/]],
    'an instruction that does not exist': [`FROM ${base}\nRUM echo hello\n`, [/RUM/, /unknown instruction/i]],
    'a base image that does not exist': ['FROM mypaas-test/no-such-image:1\n', [/mypaas-test\/no-such-image:1/]],
  }
  for (const [how, [lines, says]] of Object.entries(builds)) {
    await t.test(how, async () => {
      const dockerfile = `# mypaas.service=web\n# mypaas.url=http://web.test\n${lines}`
      const result = await w.cli(['server', 'deploy', await w.service('web', { dockerfile })])
      assertSays(result, 1, [...says, /^ {2}r1 serves as before\.$/m])
      assert.deepEqual(await inventory(w), before)
      assert.equal((await w.request('http://web.test/')).json()['release'], 'r1')
    })
  }
})

test('a Dockerfile with wrong directives: exit code 2, each with its line and what to do, the engine untouched', async (t) => {
  const w = await initialised(t)
  await w.deploy(await w.service('blog', { directives: ['url=http://blog.test'] }))
  const spy = await spyOnEngine(t)
  const before = await inventory(w)
  assert.ok(wrong.length >= 20, `${wrong.length} wrong Dockerfiles`)
  await inParallel(2, wrong.entries(), async ([index, { title, dockerfile, errors }]) => {
    const directory = await w.service(`wrong-${index}`, { dockerfile })
    const { code, stdout, stderr } = await w.cli(['server', 'deploy', directory], { env: spy.env })
    const hint = `Nothing was changed. Correct ${errors.length === 1 ? 'this line' : 'these lines'} and try again.`
    assert.deepEqual(
      { title, code, stdout, stderr },
      { title, code: 2, stdout: '', stderr: `✗ ${errors.join('\n')}\n  ${hint}\n` },
    )
  })
  assert.deepEqual(spy.requests, [], 'the engine was not even asked')
  assert.deepEqual(await inventory(w), before)

  await t.test('as is a directory that has none, or is not there', async () => {
    await w.service('empty', { dockerfile: '' })
    await rm(join(w.home, 'services', 'empty', 'Dockerfile'))
    const empty = await w.cli(['server', 'deploy', join(w.home, 'services', 'empty')], { env: spy.env })
    assertSays(empty, 2, [/Dockerfile/, /services\/empty/])
    const missing = await w.cli(['server', 'deploy', join(w.home, 'nowhere')], { env: spy.env })
    assertSays(missing, 2, [/nowhere/])
    assert.deepEqual(spy.requests, [])
  })
})

test('a URL or host port that another service has is refused, naming the owner', async (t) => {
  const w = await initialised(t)
  const port = await freePort()
  await w.deploy(
    await w.service('owner', {
      directives: ['url=http://shared.test', 'url=https://shared.test/app', `publish=127.0.0.1:${port}:80`],
    }),
  )
  const before = await inventory(w)
  const wanted: Readonly<Record<string, string | undefined>> = {
    'url=http://shared.test': 'http://shared.test belongs to the service owner.',
    'url=https://SHARED.test/': 'https://shared.test belongs to the service owner.',
    'url=http://shared.test/app/': 'http://shared.test/app belongs to the service owner.',
    [`publish=${port}:8080`]: `Host port ${port}/tcp belongs to the service owner.`,
  }
  for (const [directive, message] of Object.entries(wanted)) {
    const result = await w.cli(['server', 'deploy', await w.service('taker', { directives: [directive] })])
    assert.equal(result.code, 1, result.output)
    assert.match(result.stderr, new RegExp(`^✗ ${message}$`, 'm'))
  }
  const after = await inventory(w)
  assert.deepEqual({ ...after, files: [] }, { ...before, files: [] })
  assert.equal((await w.request('http://shared.test/')).json()['service'], 'owner')

  await t.test('also when the owner does not run', async () => {
    const [owner] = await w.containers('owner')
    await w.docker.containers.stop(owner?.Id ?? '')
    const result = await w.cli([
      'server',
      'deploy',
      await w.service('taker', { directives: ['url=http://shared.test'] }),
    ])
    assertSays(result, 1, [/belongs to the service owner\./])
  })

  await t.test('and another path, protocol or address is free', async () => {
    const directives = [
      'url=http://shared.test/other',
      `publish=127.0.0.1:${port}:80/udp`,
      `publish=127.0.0.2:${port}:80`,
    ]
    await w.deploy(await w.service('taker', { directives }))
    assert.equal((await w.request('http://shared.test/other')).json()['service'], 'taker')
  })
})

async function initialised(t: TestContext): Promise<World> {
  const w = await world(t, { program })
  await w.init()
  await w.set('server', 'start_timeout', '"3s"')
  return w
}

/** A program whose loader is not there, as one of Alpine has on Debian. */
function otherLoader(program: Buffer): Buffer {
  const text = program.toString('latin1')
  assert.match(text, /\/ld-linux/)
  return Buffer.from(text.replace('/ld-linux', '/ld-other'), 'latin1')
}

function assertSays({ code, output, stderr }: CliResult, expected: number, patterns: readonly RegExp[]): void {
  assert.equal(code, expected, output)
  for (const pattern of patterns) assert.match(stderr, pattern)
  assert.doesNotMatch(output, /bug in mypaas|\n {4}at /)
}

async function inParallel<T>(workers: number, items: Iterable<T>, act: (item: T) => Promise<void>): Promise<void> {
  const queue = [...items]
  const work = async (): Promise<void> => {
    for (let item = queue.shift(); item !== undefined; item = queue.shift()) await act(item)
  }
  await Promise.all(Array.from({ length: workers }, work))
}
