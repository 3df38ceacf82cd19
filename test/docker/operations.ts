import type { Docker } from '../../src/docker/index.ts'
import { type Answer, frames } from './fake-engine.ts'

/** One call of the client, the request that it must send, the engine's answer, and what the call must give. */
export type Operation = {
  call: (docker: Docker) => unknown
  /** Method, path (without the version), and what of query, headers and body there is. */
  request: [method: string, path: string, rest?: { query?: object; json?: unknown; body?: string; headers?: object }]
  /** Default: 204. A number is a status without body; what is no {@link Answer} is sent as JSON. */
  answer?: Answer | { upgrade: string; output: Buffer; headers?: Record<string, string> }
  /** Default: `undefined`. */
  gives?: unknown
}

const platform = { os: 'linux', architecture: 'arm64', variant: 'v8' }
const platformText = '{"os":"linux","architecture":"arm64","variant":"v8"}'
const auth = { username: 'ann', password: 'pass?word>~' }
const authText = 'eyJ1c2VybmFtZSI6ImFubiIsInBhc3N3b3JkIjoicGFzcz93b3JkPn4ifQ=='
const emptyAuth = 'e30='
const tarHeaders = { 'content-type': 'application/x-tar' }
const jsonLines = (...values: unknown[]): Answer => ({
  body: values.map((value) => `${JSON.stringify(value)}\n`).join(''),
})
const ok = (json: unknown): Answer => ({ json })
async function* tar(): AsyncGenerator<Uint8Array> {
  yield Buffer.from('tar ')
  yield Buffer.from('bytes')
}
const stat = { name: 'etc', size: 4096, mode: 2147484141, mtime: '2026-01-02T03:04:05Z', linkTarget: '' }
const statHeader = { 'X-Docker-Container-Path-Stat': Buffer.from(JSON.stringify(stat)).toString('base64') }
const filters = { label: ['a=b', 'c'] }
const filterQuery = { filters: '{"label":["a=b","c"]}' }
const output = frames(['stdout', 'out'], ['stderr', 'err'])
const chunks = ['stdout:out', 'stderr:err']

async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const list: T[] = []
  for await (const item of items) list.push(item)
  return list
}

async function text(bytes: AsyncIterable<Uint8Array>): Promise<string> {
  return Buffer.concat(await all(bytes)).toString()
}

async function told(items: AsyncIterable<{ stream: string; data: Buffer }>): Promise<string[]> {
  return (await all(items)).map(({ stream, data }) => `${stream}:${data}`)
}

/** By the operation ids of the API. */
export const operations: Record<string, Operation> = {
  ContainerList: {
    call: (d) => d.containers.list({ all: true, limit: 5, size: true, filters }),
    request: ['GET', '/containers/json', { query: { all: 'true', limit: '5', size: 'true', ...filterQuery } }],
    answer: ok([{ Id: 'c1' }]),
    gives: [{ Id: 'c1' }],
  },
  ContainerCreate: {
    call: (d) =>
      d.containers.create(
        {
          Image: 'i',
          Cmd: ['a'],
          Healthcheck: { StartInterval: 5e9 },
          HostConfig: {
            Annotations: { a: 'b' },
            Mounts: [{ Type: 'image', Source: 'i', Target: '/i', ImageOptions: { Subpath: 's' } }],
          },
          NetworkingConfig: { EndpointsConfig: { n: { GwPriority: 1 }, m: {} } },
        },
        { name: 'web', platform: 'linux/arm64' },
      ),
    request: [
      'POST',
      '/containers/create',
      {
        query: { name: 'web', platform: 'linux/arm64' },
        json: {
          Image: 'i',
          Cmd: ['a'],
          Healthcheck: { StartInterval: 5e9 },
          HostConfig: {
            Annotations: { a: 'b' },
            Mounts: [{ Type: 'image', Source: 'i', Target: '/i', ImageOptions: { Subpath: 's' } }],
          },
          NetworkingConfig: { EndpointsConfig: { n: { GwPriority: 1 }, m: {} } },
        },
      },
    ],
    answer: { status: 201, json: { Id: 'c1', Warnings: [] } },
    gives: { Id: 'c1', Warnings: [] },
  },
  ContainerInspect: {
    call: (d) => d.containers.inspect('c1', { size: true }),
    request: ['GET', '/containers/c1/json', { query: { size: 'true' } }],
    answer: ok({ Id: 'c1' }),
    gives: { Id: 'c1' },
  },
  ContainerTop: {
    call: (d) => d.containers.top('c1', { psArgs: 'aux' }),
    request: ['GET', '/containers/c1/top', { query: { ps_args: 'aux' } }],
    answer: ok({ Titles: ['PID'], Processes: [['1']] }),
    gives: { Titles: ['PID'], Processes: [['1']] },
  },
  ContainerLogs: {
    call: (d) =>
      told(
        d.containers.logs('c1', {
          follow: true,
          stderr: false,
          since: new Date(1500),
          until: 7,
          timestamps: true,
          details: true,
          tail: 10,
          tty: false,
        }),
      ),
    request: [
      'GET',
      '/containers/c1/logs',
      {
        query: {
          follow: 'true',
          stdout: 'true',
          stderr: 'false',
          since: '1.500',
          until: '7',
          timestamps: 'true',
          details: 'true',
          tail: '10',
        },
      },
    ],
    answer: { body: output },
    gives: chunks,
  },
  ContainerChanges: {
    call: (d) => d.containers.changes('c1'),
    request: ['GET', '/containers/c1/changes'],
    answer: ok(null),
    gives: [],
  },
  ContainerExport: {
    call: (d) => text(d.containers.export('c1')),
    request: ['GET', '/containers/c1/export'],
    answer: { body: 'tar' },
    gives: 'tar',
  },
  ContainerStats: {
    call: (d) => d.containers.stats('c1', { oneShot: true }),
    request: ['GET', '/containers/c1/stats', { query: { stream: 'false', 'one-shot': 'true' } }],
    answer: ok({ name: '/c1' }),
    gives: { name: '/c1' },
  },
  ContainerResize: {
    call: (d) => d.containers.resize('c1', { rows: 24, columns: 80 }),
    request: ['POST', '/containers/c1/resize', { query: { h: '24', w: '80' } }],
    answer: {},
  },
  ContainerStart: {
    call: (d) => d.containers.start('c1', { detachKeys: 'ctrl-x' }),
    request: ['POST', '/containers/c1/start', { query: { detachKeys: 'ctrl-x' } }],
    answer: { status: 304 },
  },
  ContainerStop: {
    call: (d) => d.containers.stop('c1', { graceSeconds: 3, stopSignal: 'SIGINT' }),
    request: ['POST', '/containers/c1/stop', { query: { t: '3', signal: 'SIGINT' } }],
    answer: { status: 304 },
  },
  ContainerRestart: {
    call: (d) => d.containers.restart('c1', { graceSeconds: 0, stopSignal: 'SIGINT' }),
    request: ['POST', '/containers/c1/restart', { query: { t: '0', signal: 'SIGINT' } }],
  },
  ContainerKill: {
    call: (d) => d.containers.kill('c1', { killSignal: 'SIGHUP' }),
    request: ['POST', '/containers/c1/kill', { query: { signal: 'SIGHUP' } }],
  },
  ContainerUpdate: {
    call: (d) => d.containers.update('c1', { Memory: 64e6, RestartPolicy: { Name: 'always' }, BlkioDeviceReadBps: [] }),
    request: [
      'POST',
      '/containers/c1/update',
      { json: { Memory: 64e6, RestartPolicy: { Name: 'always' }, BlkioDeviceReadBps: [] } },
    ],
    answer: ok({ Warnings: null }),
    gives: { Warnings: null },
  },
  ContainerRename: {
    call: (d) => d.containers.rename('c1', 'new'),
    request: ['POST', '/containers/c1/rename', { query: { name: 'new' } }],
  },
  ContainerPause: { call: (d) => d.containers.pause('c1'), request: ['POST', '/containers/c1/pause'] },
  ContainerUnpause: { call: (d) => d.containers.unpause('c1'), request: ['POST', '/containers/c1/unpause'] },
  ContainerAttach: {
    call: async (d) =>
      told(await d.containers.attach('c1', { stdin: true, logs: true, detachKeys: 'ctrl-x', tty: false })),
    request: [
      'POST',
      '/containers/c1/attach',
      {
        query: { stream: 'true', stdin: 'true', stdout: 'true', stderr: 'true', logs: 'true', detachKeys: 'ctrl-x' },
        headers: { connection: 'Upgrade', upgrade: 'tcp' },
      },
    ],
    answer: { upgrade: 'tcp', output },
    gives: chunks,
  },
  ContainerAttachWebsocket: {
    call: async (d) => text(await d.containers.attachWebSocket('c1', { stdin: true, logs: true })),
    request: [
      'GET',
      '/containers/c1/attach/ws',
      {
        query: { stream: 'true', stdin: 'true', stdout: 'true', stderr: 'true', logs: 'true' },
        headers: { connection: 'Upgrade', upgrade: 'websocket', 'sec-websocket-version': '13' },
      },
    ],
    answer: { upgrade: 'websocket', output: Buffer.from([0x82, 2, 0x68, 0x69, 0x88, 2, 3, 0xe8]) },
    gives: 'hi',
  },
  ContainerWait: {
    call: async (d) => (await d.containers.wait('c1', { condition: 'next-exit' })).exit,
    request: ['POST', '/containers/c1/wait', { query: { condition: 'next-exit' } }],
    answer: ok({ StatusCode: 3 }),
    gives: { StatusCode: 3 },
  },
  ContainerDelete: {
    call: (d) => d.containers.remove('c1', { force: true, volumes: true, link: false }),
    request: ['DELETE', '/containers/c1', { query: { force: 'true', v: 'true', link: 'false' } }],
  },
  ContainerArchiveInfo: {
    call: (d) => d.containers.stat('c1', '/etc'),
    request: ['HEAD', '/containers/c1/archive', { query: { path: '/etc' } }],
    answer: { headers: statHeader },
    gives: stat,
  },
  ContainerArchive: {
    call: async (d) => {
      const { stat, tar } = await d.containers.getArchive('c1', '/etc')
      return [stat, await text(tar)]
    },
    request: ['GET', '/containers/c1/archive', { query: { path: '/etc' } }],
    answer: { headers: statHeader, body: 'tar' },
    gives: [stat, 'tar'],
  },
  PutContainerArchive: {
    call: (d) => d.containers.putArchive('c1', '/etc', tar(), { noOverwriteDirNonDir: true, copyUidGid: true }),
    request: [
      'PUT',
      '/containers/c1/archive',
      {
        query: { path: '/etc', noOverwriteDirNonDir: 'true', copyUIDGID: 'true' },
        body: 'tar bytes',
        headers: tarHeaders,
      },
    ],
    answer: {},
  },
  ContainerPrune: {
    call: (d) => d.containers.prune({ filters }),
    request: ['POST', '/containers/prune', { query: filterQuery }],
    answer: ok({ ContainersDeleted: ['c1'], SpaceReclaimed: 7 }),
    gives: { ContainersDeleted: ['c1'], SpaceReclaimed: 7 },
  },
  ImageList: {
    call: (d) =>
      d.images.list({ all: true, filters, digests: true, sharedSize: true, manifests: true, identity: true }),
    request: [
      'GET',
      '/images/json',
      {
        query: {
          all: 'true',
          ...filterQuery,
          digests: 'true',
          'shared-size': 'true',
          manifests: 'true',
          identity: 'true',
        },
      },
    ],
    answer: ok([{ Id: 'i1' }]),
    gives: [{ Id: 'i1' }],
  },
  ImageBuild: {
    call: (d) =>
      all(
        d.images.build(tar(), {
          tags: ['a:1', 'a:2'],
          dockerfile: 'sub/Dockerfile',
          target: 'final',
          platform: 'linux/arm64',
          labels: { l: 'v' },
          buildArgs: { A: 'b' },
          pull: true,
          noCache: true,
          cacheFrom: ['c:1'],
          networkMode: 'host',
          extraHosts: ['h:1.2.3.4', 'i:5.6.7.8'],
          shmSize: 65536,
          buildId: 'b1',
          registryAuth: { 'reg.example:5000': auth },
        }),
      ),
    request: [
      'POST',
      '/build',
      {
        query: {
          t: ['a:1', 'a:2'],
          dockerfile: 'sub/Dockerfile',
          target: 'final',
          platform: 'linux/arm64',
          labels: '{"l":"v"}',
          buildargs: '{"A":"b"}',
          pull: 'true',
          nocache: 'true',
          cachefrom: '["c:1"]',
          networkmode: 'host',
          extrahosts: 'h:1.2.3.4,i:5.6.7.8',
          shmsize: '65536',
          buildid: 'b1',
          rm: 'true',
          forcerm: 'true',
          version: '2',
        },
        body: 'tar bytes',
        headers: {
          ...tarHeaders,
          connection: 'close',
          'x-registry-config':
            'eyJyZWcuZXhhbXBsZTo1MDAwIjp7InVzZXJuYW1lIjoiYW5uIiwicGFzc3dvcmQiOiJwYXNzP3dvcmQ-fiJ9fQ==',
        },
      },
    ],
    answer: jsonLines({ id: 'moby.image.id', aux: { ID: 'sha256:1' } }),
    gives: [{ type: 'image', imageId: 'sha256:1' }],
  },
  BuildPrune: {
    call: (d) => d.images.pruneBuildCache({ all: true, filters, reservedBytes: 1, maxUsedBytes: 2, minFreeBytes: 3 }),
    request: [
      'POST',
      '/build/prune',
      {
        query: { all: 'true', ...filterQuery, 'reserved-space': '1', 'max-used-space': '2', 'min-free-space': '3' },
      },
    ],
    answer: ok({ CachesDeleted: null, SpaceReclaimed: 0 }),
    gives: { CachesDeleted: null, SpaceReclaimed: 0 },
  },
  ImageCreate: {
    call: (d) => all(d.images.pull('reg.example:5000/a/b', { platform: 'linux/arm64', registryAuth: auth })),
    request: [
      'POST',
      '/images/create',
      {
        query: { fromImage: 'reg.example:5000/a/b', tag: 'latest', platform: 'linux/arm64' },
        headers: { 'x-registry-auth': authText },
      },
    ],
    answer: jsonLines({ status: 'Pulling', id: 'l1', progressDetail: { current: 1, total: 2 } }, { status: 'Done' }),
    gives: [{ status: 'Pulling', id: 'l1', progressDetail: { current: 1, total: 2 } }, { status: 'Done' }],
  },
  ImageInspect: {
    call: (d) => d.images.inspect('reg.example:5000/a/b:1', { manifests: true, platform }),
    request: ['GET', '/images/reg.example:5000/a/b:1/json', { query: { manifests: 'true', platform: platformText } }],
    answer: ok({ Id: 'i1' }),
    gives: { Id: 'i1' },
  },
  ImageAttestations: {
    call: (d) => d.images.attestations('i1', { platform, types: ['a', 'b'], statement: true }),
    request: [
      'GET',
      '/images/i1/attestations',
      { query: { platform: platformText, type: ['a', 'b'], statement: 'true' } },
    ],
    answer: ok([{ PredicateType: 'a' }]),
    gives: [{ PredicateType: 'a' }],
  },
  ImageHistory: {
    call: (d) => d.images.history('i1', { platform }),
    request: ['GET', '/images/i1/history', { query: { platform: platformText } }],
    answer: ok([{ Id: 'l1' }]),
    gives: [{ Id: 'l1' }],
  },
  ImagePush: {
    call: (d) => all(d.images.push('reg.example:5000/a/b:1', { platform, registryAuth: auth })),
    request: [
      'POST',
      '/images/reg.example:5000/a/b/push',
      { query: { tag: '1', platform: platformText }, headers: { 'x-registry-auth': authText } },
    ],
    answer: jsonLines({ status: '1: digest: sha256:9 size: 3' }),
    gives: [{ status: '1: digest: sha256:9 size: 3' }],
  },
  ImageTag: {
    call: (d) => d.images.tag('i1', { repo: 'a/b', tag: '2' }),
    request: ['POST', '/images/i1/tag', { query: { repo: 'a/b', tag: '2' } }],
    answer: { status: 201 },
  },
  ImageDelete: {
    call: (d) => d.images.remove('a/b:1', { force: true, noprune: true, platforms: [platform] }),
    request: ['DELETE', '/images/a/b:1', { query: { force: 'true', noprune: 'true', platforms: platformText } }],
    answer: ok([{ Untagged: 'a/b:1' }]),
    gives: [{ Untagged: 'a/b:1' }],
  },
  ImageSearch: {
    call: (d) => d.images.search('web', { limit: 3, filters: { stars: ['3'] } }),
    request: ['GET', '/images/search', { query: { term: 'web', limit: '3', filters: '{"stars":["3"]}' } }],
    answer: ok([{ name: 'web' }]),
    gives: [{ name: 'web' }],
  },
  ImagePrune: {
    call: (d) => d.images.prune({ filters }),
    request: ['POST', '/images/prune', { query: filterQuery }],
    answer: ok({ ImagesDeleted: null, SpaceReclaimed: 0 }),
    gives: { ImagesDeleted: null, SpaceReclaimed: 0 },
  },
  SystemAuth: {
    call: (d) => d.system.auth({ ...auth, serveraddress: 'reg.example' }),
    request: ['POST', '/auth', { json: { ...auth, serveraddress: 'reg.example' } }],
    answer: ok({ Status: 'Login Succeeded', IdentityToken: 't' }),
    gives: { Status: 'Login Succeeded', IdentityToken: 't' },
  },
  SystemInfo: {
    call: (d) => d.system.info(),
    request: ['GET', '/info'],
    answer: ok({ ID: 'e1' }),
    gives: { ID: 'e1' },
  },
  SystemVersion: {
    call: (d) => d.system.version(),
    request: ['GET', '/version'],
    answer: ok({ Version: '29' }),
    gives: { Version: '29' },
  },
  ImageCommit: {
    call: (d) =>
      d.containers.commit('c1', {
        repo: 'a/b',
        tag: '1',
        comment: 'why',
        author: 'ann',
        pause: false,
        changes: ['CMD ["a"]', 'USER b'],
        config: { Env: ['A=b'] },
      }),
    request: [
      'POST',
      '/commit',
      {
        query: {
          container: 'c1',
          repo: 'a/b',
          tag: '1',
          comment: 'why',
          author: 'ann',
          pause: 'false',
          changes: ['CMD ["a"]', 'USER b'],
        },
        json: { Env: ['A=b'] },
      },
    ],
    answer: { status: 201, json: { Id: 'i1' } },
    gives: { Id: 'i1' },
  },
  SystemEvents: {
    call: (d) => all(d.system.events({ since: 1, until: 2, filters: { type: ['container'] } })),
    request: ['GET', '/events', { query: { since: '1', until: '2', filters: '{"type":["container"]}' } }],
    answer: { body: '{"Type":"container","Action":"die","Actor":{"ID":"c1"},"time":1,"timeNano":1000000001}\n' },
    gives: [
      { Type: 'container', Action: 'die', Actor: { ID: 'c1' }, time: 1, timeNano: 1000000001, at: '1.000000001' },
    ],
  },
  SystemDataUsage: {
    call: (d) => d.system.df({ types: ['image', 'volume'], verbose: true }),
    request: ['GET', '/system/df', { query: { type: ['image', 'volume'], verbose: 'true' } }],
    answer: ok({ ImageUsage: { TotalSize: 7 } }),
    gives: { ImageUsage: { TotalSize: 7 } },
  },
  ImageGet: {
    call: (d) => text(d.images.save('a/b:1', { platforms: [platform] })),
    request: ['GET', '/images/a/b:1/get', { query: { platform: platformText } }],
    answer: { body: 'tar' },
    gives: 'tar',
  },
  ImageGetAll: {
    call: (d) => text(d.images.save(['a:1', 'b:2'], { platforms: [platform, platform] })),
    request: ['GET', '/images/get', { query: { names: ['a:1', 'b:2'], platform: [platformText, platformText] } }],
    answer: { body: 'tar' },
    gives: 'tar',
  },
  ImageLoad: {
    call: (d) => d.images.load(tar(), { platforms: [platform] }),
    request: [
      'POST',
      '/images/load',
      { query: { quiet: 'true', platform: platformText }, body: 'tar bytes', headers: tarHeaders },
    ],
    answer: jsonLines({ stream: 'Loaded image: a:1\n' }, { stream: 'Loaded image ID: sha256:2\n' }),
    gives: ['a:1', 'sha256:2'],
  },
  ContainerExec: {
    call: (d) => d.exec.create('c1', { Cmd: ['a'], Tty: true, ConsoleSize: [24, 80] }),
    request: ['POST', '/containers/c1/exec', { json: { Cmd: ['a'], Tty: true, ConsoleSize: [24, 80] } }],
    answer: { status: 201, json: { Id: 'x1' } },
    gives: { Id: 'x1' },
  },
  ExecStart: {
    call: async (d) => told(await d.exec.start('x1', { tty: false, consoleSize: [24, 80] })),
    request: [
      'POST',
      '/exec/x1/start',
      {
        json: { Detach: false, Tty: false, ConsoleSize: [24, 80] },
        headers: { connection: 'Upgrade', upgrade: 'tcp' },
      },
    ],
    answer: { upgrade: 'tcp', output },
    gives: chunks,
  },
  ExecResize: {
    call: (d) => d.exec.resize('x1', { rows: 24, columns: 80 }),
    request: ['POST', '/exec/x1/resize', { query: { h: '24', w: '80' } }],
    answer: {},
  },
  ExecInspect: {
    call: (d) => d.exec.inspect('x1'),
    request: ['GET', '/exec/x1/json'],
    answer: ok({ ExitCode: 0 }),
    gives: { ExitCode: 0 },
  },
  VolumeList: {
    call: (d) => d.volumes.list({ filters }),
    request: ['GET', '/volumes', { query: filterQuery }],
    answer: ok({ Volumes: [], Warnings: null }),
    gives: { Volumes: [], Warnings: null },
  },
  VolumeCreate: {
    call: (d) => d.volumes.create({ Name: 'v', Labels: { a: 'b' }, ClusterVolumeSpec: { Group: 'g' } }),
    request: [
      'POST',
      '/volumes/create',
      { json: { Name: 'v', Labels: { a: 'b' }, ClusterVolumeSpec: { Group: 'g' } } },
    ],
    answer: { status: 201, json: { Name: 'v' } },
    gives: { Name: 'v' },
  },
  VolumeInspect: {
    call: (d) => d.volumes.inspect('v'),
    request: ['GET', '/volumes/v'],
    answer: ok({ Name: 'v' }),
    gives: { Name: 'v' },
  },
  VolumeUpdate: {
    call: (d) => d.volumes.update('v', 7, { spec: { AccessMode: { Availability: 'drain' } } }),
    request: [
      'PUT',
      '/volumes/v',
      { query: { version: '7' }, json: { Spec: { AccessMode: { Availability: 'drain' } } } },
    ],
    answer: {},
  },
  VolumeDelete: {
    call: (d) => d.volumes.remove('v', { force: true }),
    request: ['DELETE', '/volumes/v', { query: { force: 'true' } }],
  },
  VolumePrune: {
    call: (d) => d.volumes.prune({ filters }),
    request: ['POST', '/volumes/prune', { query: filterQuery }],
    answer: ok({ VolumesDeleted: null, SpaceReclaimed: 0 }),
    gives: { VolumesDeleted: null, SpaceReclaimed: 0 },
  },
  NetworkList: {
    call: (d) => d.networks.list({ filters }),
    request: ['GET', '/networks', { query: filterQuery }],
    answer: ok([{ Name: 'n' }]),
    gives: [{ Name: 'n' }],
  },
  NetworkInspect: {
    call: (d) => d.networks.inspect('n', { verbose: true, scope: 'local' }),
    request: ['GET', '/networks/n', { query: { verbose: 'true', scope: 'local' } }],
    answer: ok({ Name: 'n' }),
    gives: { Name: 'n' },
  },
  NetworkDelete: { call: (d) => d.networks.remove('n'), request: ['DELETE', '/networks/n'] },
  NetworkCreate: {
    call: (d) => d.networks.create({ Name: 'n', Internal: true, EnableIPv4: false }),
    request: ['POST', '/networks/create', { json: { Name: 'n', Internal: true, EnableIPv4: false } }],
    answer: { status: 201, json: { Id: 'n1', Warning: '' } },
    gives: { Id: 'n1', Warning: '' },
  },
  NetworkConnect: {
    call: (d) => d.networks.connect('n', { Container: 'c1', EndpointConfig: { Aliases: ['a'], GwPriority: 2 } }),
    request: [
      'POST',
      '/networks/n/connect',
      { json: { Container: 'c1', EndpointConfig: { Aliases: ['a'], GwPriority: 2 } } },
    ],
    answer: {},
  },
  NetworkDisconnect: {
    call: (d) => d.networks.disconnect('n', { Container: 'c1', Force: true }),
    request: ['POST', '/networks/n/disconnect', { json: { Container: 'c1', Force: true } }],
    answer: {},
  },
  NetworkPrune: {
    call: (d) => d.networks.prune({ filters }),
    request: ['POST', '/networks/prune', { query: filterQuery }],
    answer: ok({ NetworksDeleted: null }),
    gives: { NetworksDeleted: null },
  },
  PluginList: {
    call: (d) => d.plugins.list({ filters: { enabled: ['true'] } }),
    request: ['GET', '/plugins', { query: { filters: '{"enabled":["true"]}' } }],
    answer: ok([{ Name: 'p' }]),
    gives: [{ Name: 'p' }],
  },
  GetPluginPrivileges: {
    call: (d) => d.plugins.privileges('a/p:1', { registryAuth: auth }),
    request: ['GET', '/plugins/privileges', { query: { remote: 'a/p:1' }, headers: { 'x-registry-auth': authText } }],
    answer: ok([{ Name: 'network', Description: '', Value: ['host'] }]),
    gives: [{ Name: 'network', Description: '', Value: ['host'] }],
  },
  PluginPull: {
    call: (d) =>
      all(
        d.plugins.pull('a/p:1', {
          name: 'p',
          registryAuth: auth,
          privileges: [{ Name: 'network', Description: '', Value: ['host'] }],
        }),
      ),
    request: [
      'POST',
      '/plugins/pull',
      {
        query: { remote: 'a/p:1', name: 'p' },
        json: [{ Name: 'network', Description: '', Value: ['host'] }],
        headers: { 'x-registry-auth': authText },
      },
    ],
    answer: jsonLines({ status: 'Pulled' }),
    gives: [{ status: 'Pulled' }],
  },
  PluginInspect: {
    call: (d) => d.plugins.inspect('a/p:1'),
    request: ['GET', '/plugins/a/p:1/json'],
    answer: ok({ Name: 'p' }),
    gives: { Name: 'p' },
  },
  PluginDelete: {
    call: (d) => d.plugins.remove('p', { force: true }),
    request: ['DELETE', '/plugins/p', { query: { force: 'true' } }],
    answer: ok({ Name: 'p' }),
  },
  PluginEnable: {
    call: (d) => d.plugins.enable('p', { startSeconds: 5 }),
    request: ['POST', '/plugins/p/enable', { query: { timeout: '5' } }],
    answer: {},
  },
  PluginDisable: {
    call: (d) => d.plugins.disable('p', { force: true }),
    request: ['POST', '/plugins/p/disable', { query: { force: 'true' } }],
    answer: {},
  },
  PluginUpgrade: {
    call: (d) => all(d.plugins.upgrade('p', 'a/p:2', { registryAuth: auth })),
    request: [
      'POST',
      '/plugins/p/upgrade',
      { query: { remote: 'a/p:2' }, json: [], headers: { 'x-registry-auth': authText } },
    ],
    answer: jsonLines({ status: 'Upgraded' }),
    gives: [{ status: 'Upgraded' }],
  },
  PluginCreate: {
    call: (d) => d.plugins.create('p', tar()),
    request: ['POST', '/plugins/create', { query: { name: 'p' }, body: 'tar bytes', headers: tarHeaders }],
  },
  PluginPush: {
    call: (d) => all(d.plugins.push('a/p:1')),
    request: ['POST', '/plugins/a/p:1/push', { headers: { 'x-registry-auth': emptyAuth } }],
    answer: jsonLines({ status: 'Pushed' }),
    gives: [{ status: 'Pushed' }],
  },
  PluginSet: {
    call: (d) => d.plugins.set('p', ['DEBUG=1']),
    request: ['POST', '/plugins/p/set', { json: ['DEBUG=1'] }],
  },
  NodeList: {
    call: (d) => d.nodes.list({ filters: { role: ['manager'] } }),
    request: ['GET', '/nodes', { query: { filters: '{"role":["manager"]}' } }],
    answer: ok([{ ID: 'm1' }]),
    gives: [{ ID: 'm1' }],
  },
  NodeInspect: {
    call: (d) => d.nodes.inspect('m1'),
    request: ['GET', '/nodes/m1'],
    answer: ok({ ID: 'm1' }),
    gives: { ID: 'm1' },
  },
  NodeDelete: {
    call: (d) => d.nodes.remove('m1', { force: true }),
    request: ['DELETE', '/nodes/m1', { query: { force: 'true' } }],
    answer: {},
  },
  NodeUpdate: {
    call: (d) => d.nodes.update('m1', { Role: 'worker', Availability: 'drain' }, { version: 4 }),
    request: ['POST', '/nodes/m1/update', { query: { version: '4' }, json: { Role: 'worker', Availability: 'drain' } }],
    answer: {},
  },
  SwarmInspect: {
    call: (d) => d.swarm.inspect(),
    request: ['GET', '/swarm'],
    answer: ok({ ID: 's1' }),
    gives: { ID: 's1' },
  },
  SwarmInit: {
    call: (d) => d.swarm.init({ ListenAddr: '0.0.0.0:2377' }),
    request: ['POST', '/swarm/init', { json: { ListenAddr: '0.0.0.0:2377' } }],
    answer: ok('m1'),
    gives: 'm1',
  },
  SwarmJoin: {
    call: (d) => d.swarm.join({ ListenAddr: '0.0.0.0:2377', RemoteAddrs: ['a:2377'], JoinToken: 't' }),
    request: ['POST', '/swarm/join', { json: { ListenAddr: '0.0.0.0:2377', RemoteAddrs: ['a:2377'], JoinToken: 't' } }],
    answer: {},
  },
  SwarmLeave: {
    call: (d) => d.swarm.leave({ force: true }),
    request: ['POST', '/swarm/leave', { query: { force: 'true' } }],
    answer: {},
  },
  SwarmUpdate: {
    call: (d) =>
      d.swarm.update(
        { Name: 'default', Raft: { SnapshotInterval: 9 } },
        { version: 4, rotateWorkerToken: true, rotateManagerToken: false, rotateManagerUnlockKey: true },
      ),
    request: [
      'POST',
      '/swarm/update',
      {
        query: {
          version: '4',
          rotateWorkerToken: 'true',
          rotateManagerToken: 'false',
          rotateManagerUnlockKey: 'true',
        },
        json: { Name: 'default', Raft: { SnapshotInterval: 9 } },
      },
    ],
    answer: {},
  },
  SwarmUnlockkey: {
    call: (d) => d.swarm.unlockKey(),
    request: ['GET', '/swarm/unlockkey'],
    answer: ok({ UnlockKey: 'k' }),
    gives: { UnlockKey: 'k' },
  },
  SwarmUnlock: {
    call: (d) => d.swarm.unlock('k'),
    request: ['POST', '/swarm/unlock', { json: { UnlockKey: 'k' } }],
    answer: {},
  },
  ServiceList: {
    call: (d) => d.services.list({ filters, status: true }),
    request: ['GET', '/services', { query: { ...filterQuery, status: 'true' } }],
    answer: ok([{ ID: 's1' }]),
    gives: [{ ID: 's1' }],
  },
  ServiceCreate: {
    call: (d) =>
      d.services.create(
        {
          Name: 'web',
          TaskTemplate: {
            ContainerSpec: { Image: 'a:1', OomScoreAdj: 1, Privileges: { AppArmor: { Mode: 'disabled' } } },
            Resources: { SwapBytes: 1 },
          },
        },
        { registryAuth: auth },
      ),
    request: [
      'POST',
      '/services/create',
      {
        json: {
          Name: 'web',
          TaskTemplate: {
            ContainerSpec: { Image: 'a:1', OomScoreAdj: 1, Privileges: { AppArmor: { Mode: 'disabled' } } },
            Resources: { SwapBytes: 1 },
          },
        },
        headers: { 'x-registry-auth': authText },
      },
    ],
    answer: { status: 201, json: { ID: 's1' } },
    gives: { ID: 's1' },
  },
  ServiceInspect: {
    call: (d) => d.services.inspect('web', { insertDefaults: true }),
    request: ['GET', '/services/web', { query: { insertDefaults: 'true' } }],
    answer: ok({ ID: 's1' }),
    gives: { ID: 's1' },
  },
  ServiceDelete: { call: (d) => d.services.remove('web'), request: ['DELETE', '/services/web'], answer: {} },
  ServiceUpdate: {
    call: (d) =>
      d.services.update(
        'web',
        { Name: 'web' },
        { version: 4, registryAuthFrom: 'previous-spec', rollback: 'previous' },
      ),
    request: [
      'POST',
      '/services/web/update',
      {
        query: { version: '4', registryAuthFrom: 'previous-spec', rollback: 'previous' },
        json: { Name: 'web' },
      },
    ],
    answer: ok({ Warnings: null }),
    gives: { Warnings: null },
  },
  ServiceLogs: {
    call: (d) =>
      told(d.services.logs('web', { follow: true, details: true, since: 3, timestamps: true, tail: 2, tty: false })),
    request: [
      'GET',
      '/services/web/logs',
      {
        query: {
          follow: 'true',
          stdout: 'true',
          stderr: 'true',
          since: '3',
          timestamps: 'true',
          details: 'true',
          tail: '2',
        },
      },
    ],
    answer: { body: output },
    gives: chunks,
  },
  TaskList: {
    call: (d) => d.tasks.list({ filters: { service: ['web'] } }),
    request: ['GET', '/tasks', { query: { filters: '{"service":["web"]}' } }],
    answer: ok([{ ID: 't1' }]),
    gives: [{ ID: 't1' }],
  },
  TaskInspect: {
    call: (d) => d.tasks.inspect('t1'),
    request: ['GET', '/tasks/t1'],
    answer: ok({ ID: 't1' }),
    gives: { ID: 't1' },
  },
  TaskLogs: {
    call: (d) => told(d.tasks.logs('t1', { stderr: false, tty: false })),
    request: ['GET', '/tasks/t1/logs', { query: { stdout: 'true', stderr: 'false' } }],
    answer: { body: output },
    gives: chunks,
  },
  SecretList: {
    call: (d) => d.secrets.list({ filters }),
    request: ['GET', '/secrets', { query: filterQuery }],
    answer: ok([{ ID: 'k1' }]),
    gives: [{ ID: 'k1' }],
  },
  SecretCreate: {
    call: (d) => d.secrets.create({ Name: 'k', Data: 'eA==' }),
    request: ['POST', '/secrets/create', { json: { Name: 'k', Data: 'eA==' } }],
    answer: { status: 201, json: { ID: 'k1' } },
    gives: { ID: 'k1' },
  },
  SecretInspect: {
    call: (d) => d.secrets.inspect('k1'),
    request: ['GET', '/secrets/k1'],
    answer: ok({ ID: 'k1' }),
    gives: { ID: 'k1' },
  },
  SecretDelete: { call: (d) => d.secrets.remove('k1'), request: ['DELETE', '/secrets/k1'] },
  SecretUpdate: {
    call: (d) => d.secrets.update('k1', { Labels: { a: 'b' } }, { version: 4 }),
    request: ['POST', '/secrets/k1/update', { query: { version: '4' }, json: { Labels: { a: 'b' } } }],
    answer: {},
  },
  ConfigList: {
    call: (d) => d.configs.list({ filters }),
    request: ['GET', '/configs', { query: filterQuery }],
    answer: ok([{ ID: 'f1' }]),
    gives: [{ ID: 'f1' }],
  },
  ConfigCreate: {
    call: (d) => d.configs.create({ Name: 'f', Data: 'eA==' }),
    request: ['POST', '/configs/create', { json: { Name: 'f', Data: 'eA==' } }],
    answer: { status: 201, json: { ID: 'f1' } },
    gives: { ID: 'f1' },
  },
  ConfigInspect: {
    call: (d) => d.configs.inspect('f1'),
    request: ['GET', '/configs/f1'],
    answer: ok({ ID: 'f1' }),
    gives: { ID: 'f1' },
  },
  ConfigDelete: { call: (d) => d.configs.remove('f1'), request: ['DELETE', '/configs/f1'] },
  ConfigUpdate: {
    call: (d) => d.configs.update('f1', { Labels: { a: 'b' } }, { version: 4 }),
    request: ['POST', '/configs/f1/update', { query: { version: '4' }, json: { Labels: { a: 'b' } } }],
    answer: {},
  },
  DistributionInspect: {
    call: (d) => d.distribution.inspect('reg.example/a:1', { registryAuth: auth }),
    request: ['GET', '/distribution/reg.example/a:1/json', { headers: { 'x-registry-auth': authText } }],
    answer: ok({ Descriptor: { digest: 'sha256:1' }, Platforms: [] }),
    gives: { Descriptor: { digest: 'sha256:1' }, Platforms: [] },
  },
  Session: {
    call: async (d) =>
      text((await d.system.session({ uuid: 'u', name: 'n', sharedKey: 's' })) as AsyncIterable<Buffer>),
    request: [
      'POST',
      '/session',
      {
        headers: {
          connection: 'Upgrade',
          upgrade: 'h2c',
          'x-docker-expose-session-uuid': 'u',
          'x-docker-expose-session-name': 'n',
          'x-docker-expose-session-sharedkey': 's',
        },
      },
    ],
    answer: { upgrade: 'h2c', output: Buffer.from('frames') },
    gives: 'frames',
  },
  SystemPing: {
    call: (d) => d.system.ping(),
    request: ['GET', '/_ping'],
    gives: { apiVersion: '1.56', osType: 'linux', builderVersion: '2', experimental: false, swarm: undefined },
  },
  SystemPingHead: {
    call: (d) => d.system.ping({ head: true }),
    request: ['HEAD', '/_ping'],
    gives: { apiVersion: '1.56', osType: 'linux', builderVersion: '2', experimental: false, swarm: undefined },
  },
}

/** Calls that share an operation with another one, or have none in the API's list. */
export const moreCalls: Record<string, Operation> = {
  'a measurement every second': {
    call: (d) => all(d.containers.watchStats('c1')),
    request: ['GET', '/containers/c1/stats', { query: { stream: 'true' } }],
    answer: jsonLines({ name: '/c1' }, { name: '/c1' }),
    gives: [{ name: '/c1' }, { name: '/c1' }],
  },
  'an import': {
    call: (d) =>
      d.images.import(tar(), {
        repo: 'a/b',
        tag: '1',
        changes: ['CMD ["a"]', 'USER b'],
        message: 'why',
        platform: 'linux/arm64',
      }),
    request: [
      'POST',
      '/images/create',
      {
        query: {
          fromSrc: '-',
          repo: 'a/b',
          tag: '1',
          changes: ['CMD ["a"]', 'USER b'],
          message: 'why',
          platform: 'linux/arm64',
        },
        body: 'tar bytes',
        headers: tarHeaders,
      },
    ],
    answer: jsonLines({ status: 'sha256:1' }),
    gives: { Id: 'sha256:1' },
  },
  'the end of a build from outside': {
    call: (d) => d.images.cancelBuild('b1'),
    request: ['POST', '/build/cancel', { query: { id: 'b1' } }],
    answer: {},
  },
  'a command that is left to itself': {
    call: (d) => d.exec.startDetached('x1', { tty: true }),
    request: ['POST', '/exec/x1/start', { json: { Detach: true, Tty: true } }],
    answer: {},
  },
}
