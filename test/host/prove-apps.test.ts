import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { compiledProgram } from '../support/compiled.ts'
import { busyboxImage, debianImage } from '../support/images.ts'
import { type LoadResult, startLoad } from '../support/load.ts'
import { long } from '../support/prove.ts'
import { type ServiceFiles, type World, world } from '../support/world.ts'

/** How long each is left alone, with people using it. */
const aloneMs = long ? 600_000 : 0
const redeploys = long ? 5 : 1
/** Until what is slow to start answers. */
const slowMs = long ? 30_000 : 4_000
/** Requests before, between and after deploys. */
const beside = long ? 50 : 8

type App = Readonly<{
  name: string
  what: string
  files: (w: World) => Promise<ServiceFiles>
  /** What a deploy says, besides that it is live. */
  says?: RegExp
  /** Looks at what it has done, when it is gone. */
  end?: (w: World) => Promise<void>
}>

const apps: readonly App[] = [
  {
    name: 'django',
    what: 'an app that answers 400 to every host but its own',
    files: async () => ({ directives: ['scale=1'], app: { HOSTS: 'django.test', READY_PATH: '/up' } }),
  },
  {
    name: 'rails',
    what: 'an app that sends on whoever has not come by https',
    files: async () => ({ directives: ['scale=2'], app: { FORCE_HTTPS: 1, READY_PATH: '/up' } }),
  },
  {
    name: 'next',
    what: 'an app that listens on what $HOSTNAME says',
    files: async () => ({
      directives: ['env=HOSTNAME=0.0.0.0'],
      app: { READY_PATH: '/up' },
      lines: ['ENTRYPOINT HOST=$HOSTNAME node server.mjs'],
    }),
  },
  {
    name: 'spring',
    what: `an app that answers 503 for its first ${slowMs / 1000} s`,
    files: async () => ({
      directives: ['scale=1', 'start_timeout=2m'],
      app: { UNREADY_MS: slowMs, READY_PATH: '/up' },
    }),
  },
  {
    name: 'static',
    what: 'a server of files, which ends at SIGQUIT',
    files: async (w) => ({
      dockerfile: dockerfile(
        'static',
        ['scale=1'],
        [
          `FROM ${await busyboxImage(w.docker)}`,
          'RUN mkdir -p /www/up && echo up > /www/up/index.html && echo hello > /www/index.html',
          'STOPSIGNAL SIGQUIT',
          'CMD ["httpd", "-f", "-p", "80", "-h", "/www"]',
        ],
      ),
    }),
  },
  {
    name: 'python',
    what: 'an app in shell form whose work takes 5 s to finish',
    files: async (w) => ({
      dockerfile: dockerfile(
        'python',
        ['volume=~/python:/data', 'grace=15s'],
        [`FROM ${await debianImage(w.docker)}`, 'COPY server.py ./', 'CMD python server.py'],
      ),
      files: { 'server.py': python },
    }),
    async end(w) {
      const lines = (await readFile(join(w.home, 'python', 'log'), 'utf8')).trim().split('\n')
      const begun = lines.filter((line) => line.startsWith('begin'))
      assert.ok(begun.length > redeploys, lines.join())
      assert.deepEqual(
        lines,
        begun.flatMap((line) => [line, line.replace('begin', 'end')]),
        'a piece of work was cut, or there were two writers',
      )
    },
  },
  {
    name: 'checked',
    what: 'an image with HEALTHCHECK --interval=5m',
    files: async () => ({
      app: { READY_PATH: '/up' },
      lines: [
        `HEALTHCHECK --interval=5m CMD ["node", "-e", "fetch('http://127.0.0.1/up').then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))"]`,
      ],
    }),
  },
  {
    name: 'volumes',
    what: 'an image with two VOLUMEs',
    files: async () => ({ app: { READY_PATH: '/up' }, lines: ['VOLUME /data /cache'] }),
    says: /\/data is a VOLUME of the image/,
  },
]

test('what frameworks are used to is served, redeployed and left alone without a failed request', {
  concurrency: true,
}, async (t) => {
  const w = await world(t, { program: await compiledProgram(t) })
  await w.init()
  await w.set('server', 'drain', '"10s"')
  const results = await Promise.all(apps.map((app) => prove(t, w, app)))
  const sum = (of: (result: LoadResult) => number) =>
    results.reduce((total, result) => total + (result ? of(result) : 0), 0)
  t.diagnostic(
    `${sum(({ requests }) => requests)} requests to ${apps.length} apps, ${sum(({ failed }) => failed)} failed`,
  )
})

async function prove(t: TestContext, w: World, { name, what, files, says, end }: App): Promise<LoadResult | undefined> {
  let result: LoadResult | undefined
  await t.test(what, async (t) => {
    const given = await files(w)
    const common = [`url=https://${name}.test`, 'healthcheck=/up 1s 1s']
    const directory = await w.service(name, { ...given, directives: [...common, ...(given.directives ?? [])] })
    const first = await w.deploy(directory)
    if (says) assert.match(first.output, says)
    const url = `https://${name}.test/`
    const volumes = new Set<string>()
    const note = async (): Promise<void> => {
      for (const { Mounts } of await w.containers(name))
        for (const mount of Mounts ?? []) if (mount.Type === 'volume' && mount.Name) volumes.add(mount.Name)
    }
    await note()
    await using load = await startLoad({
      url,
      port: w.ports.https,
      clients: { get: 1, fresh: 1 },
      requestsPerSecond: long ? 20 : 8,
      timeoutMs: 60_000,
      maxSeconds: 600,
    })
    for (let turn = 0; turn < redeploys; turn += 1) {
      await load.more(beside)
      await w.deploy(directory)
      await note()
    }
    await load.more(beside)
    result = await load.stop()
    assert.deepEqual(result.failures, [], `${result.failed} of ${result.requests} failed`)
    t.diagnostic(`${name}: ${result.requests} requests, longest ${Math.round(result.longestMs)} ms`)

    await leaveAlone(w, { name, url })
    await w.ok(['server', 'rm', name, '--yes'])
    assert.deepEqual(await w.containers(name), [])
    const left = (await w.docker.volumes.list()).Volumes ?? []
    assert.deepEqual(
      left.map(({ Name }) => Name).filter((volume) => volumes.has(volume)),
      [],
      'volumes of its containers are left',
    )
    await end?.(w)
  })
  return result
}

/** One request a second, each answered, by containers that nobody had to start again. */
async function leaveAlone(w: World, { name, url }: { name: string; url: string }): Promise<void> {
  const before = (await w.containers(name)).map(({ Id }) => Id)
  for (const until = performance.now() + aloneMs; performance.now() < until; await sleep(1_000)) {
    const { status } = await w.request(url)
    assert.equal(status, 200)
  }
  assert.deepEqual(
    (await w.containers(name)).map(({ Id }) => Id),
    before,
  )
  for (const id of before) {
    const { State, RestartCount } = await w.docker.containers.inspect(id)
    assert.deepEqual([State.Running, RestartCount], [true, 0])
  }
}

function dockerfile(name: string, directives: readonly string[], lines: readonly string[]): string {
  const all = [`service=${name}`, `url=https://${name}.test`, 'healthcheck=/up 1s 1s', ...directives]
  return [...all.map((directive) => `# mypaas.${directive}`), ...lines, ''].join('\n')
}

/** Serves, and works in pieces of 5 s; when it is asked to end it finishes the one that it is at. */
const python = `import http.server, os, signal, sys, threading, time
stop = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: stop.set())
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header('content-length', '3')
        self.end_headers()
        self.wfile.write(b'hi\\n')
    def log_message(self, *_):
        pass
server = http.server.ThreadingHTTPServer(('', 80), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
number = 0
while not stop.is_set():
    number += 1
    piece = f'{os.environ["MYPAAS_RELEASE"]} {number}\\n'
    open('/data/log', 'a').write('begin ' + piece)
    time.sleep(5)
    open('/data/log', 'a').write('end ' + piece)
`
