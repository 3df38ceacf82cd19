import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdirSync, writeFileSync } from 'node:fs'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import http from 'node:http'
import { setPriority, tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { findServerKey } from '../../src/server/server-key.ts'
import { compiledProgram } from '../../test/support/compiled.ts'
import { fileKeyOf } from '../../test/support/keys.ts'
import { backwards } from '../../test/support/private-engine.ts'
import { startSshd } from '../../test/support/sshd.ts'
import { until } from '../../test/support/until.ts'
import { freePort } from '../../test/support/world.ts'
import { compare, median, type Row, row } from './row.ts'
import { commandLine, isAlone, time } from './run.ts'

/** Pushes to a daemon on a socket, until its build begins: what comes after is the engine's. */
export const pushRows: Readonly<Record<string, () => Promise<Row[]>>> = {
  'push of 20,000 files': () => inPlace(pushes),
  'hashing 1 GiB': () => inPlace(hashing),
}

type Place = {
  /** The compiled `main.js`. */
  program: string
  home: string
  env: NodeJS.ProcessEnv
  engine: Engine
  scope: { after: (step: () => unknown) => void }
}

async function pushes(place: Place): Promise<Row[]> {
  const tree = join(place.home, 'tree')
  fill(tree)
  const first: number[] = []
  const tarCurl: number[] = []
  const docker: number[] = []
  const rsyncFirst: number[] = []
  const sshd = await startSshd(
    place.scope as never,
    { home: place.home, instance: 'bench', program: [place.program] } as never,
    await freePort(),
    { DOCKER_HOST: place.engine.host },
  )
  const copy = join(place.home, 'copy')
  for (let round = 0; round < 5; round += 1) {
    // A service of its own has nothing on the server, a fresh cache nothing on this side.
    dockerfile(tree, `bench${round}`)
    first.push(await untilBuild(place, tree, { XDG_CACHE_HOME: join(place.home, `cache${round}`) }))
    tarCurl.push(
      await time('sh', [
        '-c',
        'tar c -C "$0" . | curl -sf --unix-socket "$1" -X POST -H Content-Type:application/x-tar -H Expect: -T - http://x/sink',
        tree,
        place.engine.socket,
      ]),
    )
    await rm(copy, { recursive: true, force: true })
    rsyncFirst.push(await time('rsync', ['-a', `${tree}/`, `${copy}/`]))
    if (!isAlone()) docker.push(await dockerOverSsh(place, tree, sshd))
  }
  const cache = { XDG_CACHE_HOME: join(place.home, 'cache4') }
  await untilBuild(place, tree, cache)
  let turn = 0
  const { same, changed, rsync, rsyncSsh } = await compare({
    same: { rounds: 9, measure: () => untilBuild(place, tree, cache) },
    changed: {
      rounds: 9,
      measure: () => {
        change(tree, ++turn)
        return untilBuild(place, tree, cache)
      },
    },
    rsync: {
      rounds: 9,
      measure: () => {
        change(tree, ++turn)
        return time('rsync', ['-a', `${tree}/`, `${copy}/`])
      },
    },
    rsyncSsh: {
      rounds: 9,
      measure: () => {
        change(tree, ++turn)
        const [host, port] = sshd.server.replace('ssh://', '').split(':') as [string, string]
        return time('rsync', ['-a', '-e', `ssh -p ${port}`, `${tree}/`, `${host}:${copy}/`], sshd.env)
      },
    },
  })
  return [
    row(
      'first push of 20,000 files, 80 MB',
      'ms',
      median(first),
      { name: 'tar c | curl', value: median(tarCurl) },
      { ratio: 1.3 },
    ),
    row('…', 'ms', median(first), { name: 'rsync -a to an empty directory', value: median(rsyncFirst) }),
    row('…', 'ms', median(first), { name: 'docker -H ssh:// build, to the same', value: median(docker) }),
    row('second push, nothing changed', 'ms', same, undefined, { atMost: 500 }),
    row('push of one changed file', 'ms', changed, undefined, { atMost: 600 }),
    row('…', 'ms', changed, { name: 'rsync -a over ssh', value: rsyncSsh }, { ratio: 1.2 }),
    row('…', 'ms', changed, { name: 'rsync -a on one disk', value: rsync }),
  ]
}

async function hashing(place: Place): Promise<Row[]> {
  const tree = join(place.home, 'large')
  mkdirSync(tree)
  const part = randomBytes(64 * 1024 ** 2)
  for (let file = 0; file < 16; file += 1) writeFileSync(join(tree, `f${file}`), part)
  const folder = dirname(dirname(place.program))
  writeFileSync(join(tree, 'Dockerfile'), 'FROM scratch\n')
  const script = `import { readContext, tableOf } from ${JSON.stringify(join(folder, 'src/context/index.js'))}
import { hashFiles } from ${JSON.stringify(join(folder, 'src/push/hash.js'))}
const table = tableOf(await readContext(${JSON.stringify(tree)}))
const begin = performance.now()
await hashFiles(${JSON.stringify(tree)}, table)
console.log(performance.now() - begin)`
  const ours = (): Promise<number> => lineOf(process.execPath, ['--input-type=module', '-e', script])
  const { mypaas, sum } = await compare({
    mypaas: { rounds: 5, measure: ours },
    sum: { rounds: 5, measure: () => time('sh', ['-c', 'sha256sum "$0"/* > /dev/null', tree]) },
  })
  return [row('hashing 1 GiB', 'ms', mypaas, { name: 'sha256sum', value: sum }, { ratio: 1 / 0.9 })]
}

/** 20,000 files of 4 KiB in 200 directories, no two the same, half text. */
function fill(tree: string): void {
  const words =
    randomBytes(3000)
      .toString('hex')
      .match(/.{1,7}/g) ?? []
  for (let directory = 0; directory < 200; directory += 1) {
    mkdirSync(join(tree, `directory-${directory}`), { recursive: true })
    for (let file = 0; file < 100; file += 1) {
      const at = (directory * 100 + file) % (words.length - 512)
      const data = Buffer.alloc(
        4096,
        file % 2 ? `${directory} ${file} ${words.slice(at, at + 512).join(' ')}` : randomBytes(4096),
      )
      writeFileSync(join(tree, `directory-${directory}`, `file-${file}.txt`), data)
    }
  }
}

function dockerfile(tree: string, service: string): void {
  writeFileSync(join(tree, 'Dockerfile'), `# mypaas.service = ${service}\nFROM scratch\nCOPY . /\n`)
}

function change(tree: string, turn: number): void {
  writeFileSync(join(tree, 'directory-7', 'file-7.txt'), `changed ${turn}`.padEnd(4096, 'x'))
}

/** From the start of the command until its build begins. */
async function untilBuild(
  { program, env, home, engine }: Place,
  tree: string,
  more: Record<string, string>,
): Promise<number> {
  const begun = engine.next()
  const begin = performance.now()
  const [file, ...args] = commandLine(process.execPath, [program, 'push', `unix:${home}/_mypaas/daemon.sock`, tree])
  const child = spawn(file, args, {
    env: { ...env, ...more },
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  let said = ''
  child.stderr.on('data', (text) => {
    said += text
  })
  const ended = new Promise((resolve) => child.once('close', resolve))
  const ms = await Promise.race([begun.then(() => performance.now() - begin), ended.then(() => undefined)])
  await ended
  if (ms === undefined) throw new Error(`mypaas push ended without a build: ${said}`)
  return ms
}

async function dockerOverSsh(
  place: Place,
  tree: string,
  sshd: { server: string; env: Record<string, string> },
): Promise<number> {
  const begin = performance.now()
  const child = spawn('docker', ['-H', sshd.server, 'build', '-q', tree], {
    env: { ...place.env, ...sshd.env, DOCKER_BUILDKIT: '0' },
    stdio: 'ignore',
  })
  await new Promise((resolve, reject) => child.once('close', resolve).once('error', reject))
  return performance.now() - begin
}

async function lineOf(command: string, args: readonly string[]): Promise<number> {
  const [file, ...rest] = commandLine(command, args)
  const child = spawn(file, rest, { stdio: ['ignore', 'pipe', 'inherit'] })
  let text = ''
  child.stdout.on('data', (part) => {
    text += part
  })
  await new Promise((resolve) => child.once('close', resolve))
  return Number(text)
}

type Engine = { socket: string; host: string; next: () => Promise<void>; close: () => Promise<void> }

/** An engine that has nothing, and whose builds read everything and fail; and a sink. */
async function sinkEngine(folder: string): Promise<Engine> {
  let tell: (() => void) | undefined
  const server = http.createServer((request, response) => {
    const path = (request.url ?? '').replace(/^\/v[\d.]+/, '').split('?')[0]
    const json = (value: unknown, status = 200): void => {
      response.writeHead(status, { 'content-type': 'application/json', 'api-version': '1.41' })
      response.end(JSON.stringify(value))
    }
    if (path === '/build' || path === '/sink') {
      if (path === '/build') tell?.()
      request.resume()
      request.on('end', () => json({ errorDetail: { message: 'read' }, error: 'read' }))
    } else if (path === '/_ping') json('OK')
    else if (path === '/version') json({ Version: '20.10.24', ApiVersion: '1.41', MinAPIVersion: '1.12' })
    else if (path === '/info') json({ NCPU: 2, MemTotal: 4e9 })
    else if (path === '/containers/json' || path === '/images/json' || path === '/networks') json([])
    else json({ message: `there is no ${path}` }, 404)
  })
  const socket = join(folder, 'engine.sock')
  await new Promise<void>((resolve) => server.listen(socket, resolve))
  return {
    socket,
    host: `unix://${socket}`,
    next: () =>
      new Promise((resolve) => {
        tell = resolve
      }),
    close: () =>
      new Promise((resolve) => {
        server.closeAllConnections()
        server.close(() => resolve())
      }),
  }
}

async function inPlace(measure: (place: Place) => Promise<Row[]>): Promise<Row[]> {
  const undo: (() => unknown)[] = []
  const scope = backwards({ after: (step) => void undo.push(step as () => unknown) })
  try {
    const home = await mkdtemp(join(tmpdir(), 'mypaas-bench-'))
    scope.after(() => rm(home, { recursive: true, force: true }))
    // The engine that only reads is in this process.
    if (isAlone()) setPriority(-20)
    const engine = await sinkEngine(home)
    scope.after(engine.close)
    await mkdir(join(home, '_mypaas'), { mode: 0o700 })
    await writeFile(join(home, '_mypaas', 'config.toml'), '', { mode: 0o600 })
    const identity = { version: 1, id: '0123456789abcdef', adminPassword: 'x'.repeat(43) }
    await writeFile(join(home, '_mypaas', 'server.json'), JSON.stringify(identity), { mode: 0o600 })
    const line = await fileKeyOf(join(home, '.ssh', 'id_ed25519'))
    await writeFile(join(home, '_mypaas', 'authorized_keys'), `${line}\n`, { mode: 0o600 })
    const { SSH_AUTH_SOCK: _, ...inherited } = process.env
    const env = { ...inherited, HOME: home, DOCKER_HOST: engine.host }
    const program = await compiledProgram(scope)
    const [file, ...args] = commandLine(process.execPath, [program, 'server', 'daemon'])
    const daemon = spawn(file, args, { env, stdio: ['ignore', 'ignore', 'pipe'] })
    scope.after(() => daemon.kill('SIGKILL'))
    let said = ''
    daemon.stderr.on('data', (text) => {
      said += text
    })
    // It looks for the key where it is: in a home that is not that of the user who runs this.
    await until(() => /listens on/.test(said), { what: 'the daemon', timeoutMs: 20_000 })
    const own = await findServerKey(join(home, '_mypaas'))
    const there = { ...env, DOCKER_HOST: '', MYPAAS_SERVER_KEY: own?.fingerprint }
    return await measure({ program, home, env: there, engine, scope })
  } finally {
    for (const step of undo) await step()
  }
}
