import { spawn } from 'node:child_process'
import { existsSync, rmSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { compare, median, type Row, row } from './row.ts'
import { commandLine, isAlone, program, time } from './run.ts'
import { manyFiles, nodeModules, scratch } from './trees.ts'

/** The Engine client beside others that do the same. */
export const clientRows: Readonly<Record<string, () => Promise<Row[]>>> = {
  'pack 20,000 files of 4 KiB': () => pack('pack 20,000 files of 4 KiB', manyFiles(), 1.3),
  'pack 49,000 files, 490 MB': () => pack('pack 49,000 files, 490 MB', nodeModules(), 0.8),
  'upload 490 MB': () => withNullEngine((socket) => upload(nodeModules(), socket)),
  'ignore matching': ignore,
  'ping one after another': () => withEngine(ping),
  'demux 93-byte lines': demux,
  'import and first ping': () => withEngine(firstPing),
}

async function pack(what: string, tree: string, target: number): Promise<Row[]> {
  const memory: number[] = []
  const { mypaas, tar, other } = await compare({
    mypaas: {
      rounds: 7,
      measure: async () => {
        const { ms, rssMb } = await program<{ ms: number; rssMb: number }>('pack', 'mypaas', tree)
        memory.push(rssMb)
        return ms
      },
    },
    // To a pipe: tar does not even read the files when its output is /dev/null.
    tar: { rounds: 7, measure: () => time('sh', ['-c', 'tar c -C "$0" . | cat > /dev/null', tree]) },
    other: { rounds: peerRounds(2), measure: async () => (await program<{ ms: number }>('pack', 'node-tar', tree)).ms },
  })
  return [
    row(what, 'ms', mypaas, { name: 'GNU tar', value: tar }, { ratio: target }),
    row(what, 'ms', mypaas, { name: 'node-tar', value: other }),
    row(`${what}: memory`, 'MB', median(memory), undefined, { atMost: 100 }),
  ]
}

/** The limit is curl with an archive that is already there. */
async function upload(tree: string, socket: string): Promise<Row[]> {
  const archive = scratch('modules.tar')
  await time('tar', ['cf', archive, '-C', tree, '.'])
  const memory: number[] = []
  const build = ['-sf', '--unix-socket', socket, '-H', 'Content-Type: application/x-tar', '-H', 'Expect:']
  const { mypaas, curl, cli, dockerode } = await compare({
    mypaas: {
      rounds: 7,
      measure: async () => {
        const { ms, rssMb } = await program<{ ms: number; rssMb: number }>('upload', 'mypaas', tree, socket)
        memory.push(rssMb)
        return ms
      },
    },
    curl: { rounds: 7, measure: () => time('curl', [...build, '-X', 'POST', '-T', archive, 'http://docker/build']) },
    cli: {
      rounds: peerRounds(2),
      measure: () => time('docker', ['build', '-q', tree], { DOCKER_HOST: `unix://${socket}`, DOCKER_BUILDKIT: '0' }),
    },
    dockerode: {
      rounds: peerRounds(1),
      measure: async () => (await program<{ ms: number }>('upload', 'dockerode', tree, socket)).ms,
    },
  })
  rmSync(archive)
  return [
    row('upload 490 MB', 'ms', mypaas, { name: 'curl, ready tar', value: curl }, { ratio: 1.3 }),
    row('upload 490 MB', 'ms', mypaas, { name: 'docker CLI', value: cli }),
    row('upload 490 MB', 'ms', mypaas, { name: 'dockerode', value: dockerode }),
    row('upload 490 MB: memory', 'MB', median(memory), undefined, { atMost: 100 }),
  ]
}

async function ignore(): Promise<Row[]> {
  const { rate } = await compare({
    rate: {
      rounds: 3,
      measure: async () => (await program<{ pathsPerSecond: number }>('ignore')).pathsPerSecond,
    },
  })
  return [row('ignore matching, 50 patterns', 'paths/s', rate, undefined, { atLeast: 500_000 })]
}

async function ping(socket: string): Promise<Row[]> {
  const by = (client: string) => async () => (await program<{ us: number }>('ping', client, socket)).us
  const { mypaas, raw, dockerode, sdk } = await compare({
    mypaas: { rounds: 5, measure: by('mypaas') },
    raw: { rounds: 5, measure: by('socket') },
    dockerode: { rounds: peerRounds(2), measure: by('dockerode') },
    sdk: { rounds: peerRounds(2), measure: by('node-sdk') },
  })
  return [
    row('/_ping, median', 'µs', mypaas, { name: 'raw socket', value: raw }, { ratio: 1.5 }),
    row('/_ping, median', 'µs', mypaas, { name: 'dockerode', value: dockerode }),
    row('/_ping, median', 'µs', mypaas, { name: 'node-sdk', value: sdk }),
  ]
}

async function demux(): Promise<Row[]> {
  const by = (reader: string, megabytes: number) => async () =>
    (await program<{ mbPerSecond: number }>('demux', reader, String(megabytes))).mbPerSecond
  const { mypaas, memcpy, dockerode } = await compare({
    mypaas: { rounds: 5, measure: by('mypaas', 200) },
    memcpy: { rounds: 5, measure: by('memcpy', 200) },
    dockerode: { rounds: peerRounds(1), measure: by('dockerode', 20) },
  })
  const { rssMb } = await program<{ rssMb: number }>('demux', 'mypaas', '1000')
  return [
    row('demux 93-byte lines', 'MB/s', mypaas, { name: 'memcpy', value: memcpy }, { atLeast: 1000 }),
    row('demux 93-byte lines', 'MB/s', mypaas, { name: 'dockerode', value: dockerode }),
    row('demux 1 GB: memory', 'MB', rssMb),
  ]
}

async function firstPing(socket: string): Promise<Row[]> {
  const file = fileURLToPath(new URL('programs/first-ping.js', import.meta.url))
  const { ours, node } = await compare({
    ours: { rounds: 11, measure: () => time(process.execPath, [file, socket]) },
    node: { rounds: 11, measure: () => time(process.execPath, ['-e', '0']) },
  })
  return [
    row('import and first ping, over node -e 0', 'ms', ours - node, { name: 'node', value: node }, { atMost: 90 }),
  ]
}

/** Other clients take long: they are left out where a program runs ahead of everybody else's. */
function peerRounds(rounds: number): number {
  return isAlone() ? 0 : rounds
}

/** The machine's engine where there is one: it is only asked for a sign of life. */
async function withEngine(measure: (socket: string) => Promise<Row[]>): Promise<Row[]> {
  const socket = '/var/run/docker.sock'
  return existsSync(socket) ? measure(socket) : withNullEngine(measure)
}

async function withNullEngine(measure: (socket: string) => Promise<Row[]>): Promise<Row[]> {
  const socket = scratch('engine.sock')
  rmSync(socket, { force: true })
  const file = fileURLToPath(new URL('programs/null-engine.js', import.meta.url))
  const [command, ...args] = commandLine(process.execPath, [file, socket])
  const engine = spawn(command, args, { stdio: ['pipe', 'pipe', 'inherit'] })
  try {
    await new Promise((resolve, reject) => engine.stdout.once('data', resolve) && engine.once('error', reject))
    return await measure(socket)
  } finally {
    engine.stdin.end()
  }
}
