import type { ServiceSpec } from '../../src/service/spec.ts'

/**
 * What a container of release 1 gets, as `docker inspect` would show it. `home` stands for the server's home directory.
 * `restart` is the policy of a container that serves; `order` how one release takes over from the other.
 */
export type GoldenContainer = Readonly<{
  image: string
  names: readonly string[]
  aliases: readonly string[]
  /** Of the first replica, in no order. */
  env: readonly string[]
  binds: readonly string[]
  /** Paths outside the home: refused, unless `volume_roots` of the server's config has them. */
  outside: readonly string[]
  ports: Readonly<Record<string, readonly Readonly<{ HostIp: string; HostPort: string }>[]>>
  nanoCpus: number | undefined
  memoryBytes: number | undefined
  restart: 'always'
  network: 'mypaas-net'
  order: ServiceSpec['rollout']
  /** The build asks the registry for a newer base image. */
  pull: boolean
}>

export type Golden = Readonly<{
  title: string
  dockerfile: string
  /** Besides `everyDifference`: what the earlier implementation did in this case, and why ours does something else. */
  differences: readonly Difference[]
  /** The spec where it is not as for a Dockerfile that has nothing but a name. */
  spec?: Partial<ServiceSpec>
  container?: GoldenContainer
  /** Instead of a spec: the lines of the error. */
  errors?: readonly string[]
}>

type Difference = Readonly<{ was: string; is: string; why: string }>

/** The directory that `~` stands for in the table. */
export const home = '/home/me'

/** What the server's config has under `[env]`. */
export const secrets: Readonly<Record<string, string>> = { POSTGRES_PASSWORD: 's3cr3t' }

/** Differences that all cases have. */
export const everyDifference: readonly Difference[] = [
  {
    was: 'image foo',
    is: 'image foo:r1',
    why: 'A release keeps its image, so it can run again. And a service postgres with FROM postgres was built on itself the next time.',
  },
  {
    was: 'container foo or foo.1, renamed to foo.old.TIME.1 when it is replaced',
    is: 'container foo-r1-1',
    why: 'Old and new never want the same name, so nothing has to be renamed.',
  },
  {
    was: 'scaled replicas have no common name on the network',
    is: 'every replica has the alias foo',
    why: 'The manual: a service "can still be used by other services", at any scale.',
  },
  {
    was: 'MYPAAS_SCALE=None without mypaas.scale',
    is: 'MYPAAS_SCALE=0',
    why: 'The manual: "0 to indicate non-scaling, which is the default". None is no integer.',
  },
  { was: 'no MYPAAS_RELEASE', is: 'MYPAAS_RELEASE=r1', why: 'New: a program can say which release it is.' },
  {
    was: 'labels traefik.*',
    is: 'labels mypaas.*, routes in the files of the router',
    why: 'With labels, requests fail in each deploy, and the router needs the Docker socket.',
  },
  {
    was: 'docker container prune and image prune, of the whole machine',
    is: 'only what belongs to the service is removed',
    why: "The user's other containers, and the image to go back to, were removed too.",
  },
]

const plain = {
  aliases: [] as readonly string[],
  binds: [],
  outside: [],
  ports: {},
  nanoCpus: undefined,
  memoryBytes: undefined,
  restart: 'always',
  network: 'mypaas-net',
  order: 'stop-first',
  pull: false,
} as const

function environment(service: string, settings: { scale?: number; port?: number } = {}): string[] {
  return [
    `MYPAAS_SERVICE=${service}`,
    `MYPAAS_SCALE=${settings.scale ?? 0}`,
    `MYPAAS_PORT=${settings.port ?? 80}`,
    `MYPAAS_CONTAINER=${service}-r1-1`,
    'MYPAAS_RELEASE=r1',
  ]
}

function one(service: string): Pick<GoldenContainer, 'image' | 'names' | 'aliases' | 'env'> {
  return { image: `${service}:r1`, names: [`${service}-r1-1`], aliases: [service], env: environment(service) }
}

const wholeSegments: Difference = {
  was: 'PathPrefix, which has /foobar under /foo',
  is: 'whole segments: /foo and what is below /foo/',
  why: "A neighbour's path went to the wrong service.",
}

/** The Dockerfiles whose docker arguments are known from the earlier implementation, and what comes of them here. */
export const golden: readonly Golden[] = [
  {
    title: 'minimal',
    dockerfile: '# mypaas.service=foo\nFROM alpine\n',
    differences: [],
    spec: { service: 'foo' },
    container: { ...plain, ...one('foo') },
  },
  {
    title: 'two https URLs',
    dockerfile:
      '# mypaas.service = hello-world\n# mypaas.url=https://example.com\n# mypaas.url=https://www.example.com\nFROM alpine\n',
    differences: [],
    spec: {
      service: 'hello-world',
      urls: [
        { scheme: 'https', host: 'example.com', path: '/' },
        { scheme: 'https', host: 'www.example.com', path: '/' },
      ],
    },
    container: { ...plain, ...one('hello-world') },
  },
  {
    title: 'http, a path and a port',
    dockerfile: '# mypaas.service=a\n# mypaas.url=http://example.com/foo/bar\n# mypaas.port=8080\nFROM alpine\n',
    differences: [wholeSegments],
    spec: { service: 'a', urls: [{ scheme: 'http', host: 'example.com', path: '/foo/bar' }], port: 8080 },
    container: { ...plain, ...one('a'), env: environment('a', { port: 8080 }) },
  },
  {
    title: 'rolling, with a health check',
    dockerfile:
      '# mypaas.service=minimal\n# mypaas.url = https://example.com/minimal\n# mypaas.scale=2\n# mypaas.healthcheck=/status 11s 2s\n# mypaas.maxmem=500m\nFROM alpine\n',
    differences: [
      wholeSegments,
      {
        was: 'fixed waits of 3.5 s, then the old one is stopped, whatever the new one does',
        is: 'the old ones go when the new ones are ready and drained',
        why: 'The manual: "started and given time to start up before the old containers are stopped".',
      },
    ],
    spec: {
      service: 'minimal',
      urls: [{ scheme: 'https', host: 'example.com', path: '/minimal' }],
      scale: 2,
      rollout: 'roll',
      healthcheck: { path: '/status', intervalMs: 11_000, timeoutMs: 2000 },
      maxMemoryBytes: 524_288_000,
    },
    container: {
      ...plain,
      ...one('minimal'),
      names: ['minimal-r1-1', 'minimal-r1-2'],
      env: environment('minimal', { scale: 2 }),
      memoryBytes: 524_288_000,
      order: 'roll',
    },
  },
  {
    title: 'safe',
    dockerfile: '# mypaas.service=minimal\n# mypaas.url=https://example.com\n# mypaas.scale=2 safe\nFROM alpine\n',
    differences: [],
    spec: {
      service: 'minimal',
      urls: [{ scheme: 'https', host: 'example.com', path: '/' }],
      scale: 2,
      rollout: 'safe',
    },
    container: {
      ...plain,
      ...one('minimal'),
      names: ['minimal-r1-1', 'minimal-r1-2'],
      env: environment('minimal', { scale: 2 }),
      order: 'safe',
    },
  },
  {
    title: 'postgres',
    dockerfile:
      '# mypaas.service=postgres\n# mypaas.env=POSTGRES_PASSWORD\n# mypaas.volume=~/_postgres:/var/lib/postgresql/data\nFROM alpine\n',
    differences: [],
    spec: {
      service: 'postgres',
      env: [{ key: 'POSTGRES_PASSWORD' }],
      volumes: [{ kind: 'home', path: '_postgres', target: '/var/lib/postgresql/data', readOnly: false }],
    },
    container: {
      ...plain,
      ...one('postgres'),
      env: ['POSTGRES_PASSWORD=s3cr3t', ...environment('postgres')],
      binds: [`${home}/_postgres:/var/lib/postgresql/data`],
    },
  },
  {
    title: 'limits, variables and a published port',
    dockerfile:
      '# mypaas.service=bad\n# mypaas.maxcpu=1\n# mypaas.maxmem=50m\n# mypaas.env=FOO="bar"\n# mypaas.env=A=b=c\n# mypaas.publish=127.0.0.1:8125:8125/udp\nFROM alpine\n',
    differences: [
      { was: 'FOO="bar', is: 'FOO=bar', why: 'Quotes were taken off both ends on their own; they go as a pair.' },
    ],
    spec: {
      service: 'bad',
      env: [
        { key: 'FOO', value: 'bar' },
        { key: 'A', value: 'b=c' },
      ],
      publish: [{ hostIp: '127.0.0.1', hostPort: 8125, containerPort: 8125, protocol: 'udp' }],
      maxCpu: 1,
      maxMemoryBytes: 52_428_800,
    },
    container: {
      ...plain,
      ...one('bad'),
      env: ['FOO=bar', 'A=b=c', ...environment('bad')],
      ports: { '8125/udp': [{ HostIp: '127.0.0.1', HostPort: '8125' }] },
      nanoCpus: 1_000_000_000,
      memoryBytes: 52_428_800,
    },
  },
  {
    title: 'a name with all sorts of characters',
    dockerfile: '# mypaas.service=-My App/api.v2:1\n# mypaas.url=https://My-App.Example.com/\nFROM alpine\n',
    differences: [
      {
        was: 'image My-App/api.v2-1 (which docker build refuses), container My-App-api.v2-1',
        is: 'an error with a name that would do',
        why: 'Names were changed without a word, so that two services could become one.',
      },
      {
        was: 'Host(`My-App.Example.com`) && PathPrefix(`/`)',
        is: 'host my-app.example.com, path /',
        why: 'https://x/ is https://x, and hosts have no upper case.',
      },
    ],
    errors: [
      'Dockerfile:1: mypaas.service: "-My App/api.v2:1" can\'t be the name of a service: only a-z, 0-9 and . _ - may be in it. For example: mypaas.service = my-app-api.v2-1',
    ],
  },
  {
    title: 'a base image by its tag latest',
    dockerfile: '# mypaas.service=x\nFROM --platform=linux/amd64 nginx:latest AS b\n',
    differences: [],
    spec: { service: 'x' },
    container: { ...plain, ...one('x'), pull: true },
  },
  {
    title: 'a service called stats',
    dockerfile: '# mypaas.service=stats\n# mypaas.url=https://paas.example.com/\n# mypaas.scale=0\nFROM alpine\n',
    differences: [
      {
        was: 'it takes the place of the dashboard, with its login',
        is: 'an error',
        why: 'What a directory is called must not change the server.',
      },
    ],
    errors: [
      'Dockerfile:1: mypaas.service: "stats" can\'t be the name of a service: mypaas itself uses that name. For example: mypaas.service = stats-app',
    ],
  },
  {
    title: 'beside a service whose name begins the same',
    dockerfile: '# mypaas.service=example\nFROM alpine\n',
    differences: [
      {
        was: 'the containers of example.com are stopped and removed',
        is: 'they are not touched',
        why: 'What belongs to a service is known by exact labels, not by how its name begins.',
      },
    ],
    spec: { service: 'example' },
    container: { ...plain, ...one('example') },
  },
  {
    title: 'a URL that another service has',
    dockerfile: '# mypaas.service=b\n# mypaas.url=https://example.com\nFROM alpine\n',
    differences: [
      {
        was: 'URL example.com is already used in other, only if that one runs and wrote it the same way',
        is: 'refused by the deploy, naming the owner, running or not; the file alone is right',
        why: 'A stopped service keeps its URLs, and https://example.com/ is the same URL.',
      },
    ],
    spec: { service: 'b', urls: [{ scheme: 'https', host: 'example.com', path: '/' }] },
    container: { ...plain, ...one('b') },
  },
  {
    title: 'health check /s 5s 500ms',
    dockerfile:
      '# mypaas.service=x\n# mypaas.url=http://e.com\n# mypaas.scale=1\n# mypaas.healthcheck=/s 5s 500ms\nFROM alpine\n',
    differences: [],
    spec: {
      service: 'x',
      urls: [{ scheme: 'http', host: 'e.com', path: '/' }],
      scale: 1,
      rollout: 'roll',
      healthcheck: { path: '/s', intervalMs: 5000, timeoutMs: 500 },
    },
    container: { ...plain, ...one('x'), env: environment('x', { scale: 1 }), order: 'roll' },
  },
  {
    title: 'health check /s 1m 2s',
    dockerfile:
      '# mypaas.service=x\n# mypaas.url=http://e.com\n# mypaas.scale=1\n# mypaas.healthcheck=/s 1m 2s\nFROM alpine\n',
    differences: [
      {
        was: "an error: a duration ends in 'ms', 's', 'm' or 'h'",
        is: 'once a minute',
        why: 'It does; a comma was missing in the check.',
      },
    ],
    spec: {
      service: 'x',
      urls: [{ scheme: 'http', host: 'e.com', path: '/' }],
      scale: 1,
      rollout: 'roll',
      healthcheck: { path: '/s', intervalMs: 60_000, timeoutMs: 2000 },
    },
    container: { ...plain, ...one('x'), env: environment('x', { scale: 1 }), order: 'roll' },
  },
  {
    title: 'health check /s 5mh 2s',
    dockerfile:
      '# mypaas.service=x\n# mypaas.url=http://e.com\n# mypaas.scale=1\n# mypaas.healthcheck=/s 5mh 2s\nFROM alpine\n',
    differences: [
      {
        was: 'accepted, and the router then refuses all of the service',
        is: 'an error',
        why: 'The same missing comma.',
      },
    ],
    errors: [
      'Dockerfile:4: mypaas.healthcheck: the interval "5mh" is no duration. A number and its unit, ms, s, m or h: 10s',
    ],
  },
  {
    title: 'health check /s foos 2s',
    dockerfile:
      '# mypaas.service=x\n# mypaas.url=http://e.com\n# mypaas.scale=1\n# mypaas.healthcheck=/s foos 2s\nFROM alpine\n',
    differences: [{ was: 'accepted', is: 'an error', why: 'Only the ending was looked at.' }],
    errors: [
      'Dockerfile:4: mypaas.healthcheck: the interval "foos" is no duration. A number and its unit, ms, s, m or h: 10s',
    ],
  },
  {
    title: 'health check s 5s 2s',
    dockerfile:
      '# mypaas.service=x\n# mypaas.url=http://e.com\n# mypaas.scale=1\n# mypaas.healthcheck=s 5s 2s\nFROM alpine\n',
    differences: [],
    errors: [
      'Dockerfile:4: mypaas.healthcheck: the path "s" does not begin with /. For example: mypaas.healthcheck = /status 10s 2s',
    ],
  },
  {
    title: 'health check /s 5s',
    dockerfile:
      '# mypaas.service=x\n# mypaas.url=http://e.com\n# mypaas.scale=1\n# mypaas.healthcheck=/s 5s\nFROM alpine\n',
    differences: [],
    errors: [
      'Dockerfile:4: mypaas.healthcheck: "/s 5s" is not a path, an interval and a timeout. For example: mypaas.healthcheck = /status 10s 2s',
    ],
  },
  {
    title: 'volume /etc:/etc',
    dockerfile: '# mypaas.service=x\n# mypaas.volume=/etc:/etc\nFROM alpine\n',
    differences: [
      {
        was: 'an error, for any path outside the home',
        is: 'the server decides: an error unless volume_roots in its config.toml has it',
        why: 'A disk under /srv could not be used at all.',
      },
    ],
    spec: { service: 'x', volumes: [{ kind: 'host', path: '/etc', target: '/etc', readOnly: false }] },
    container: { ...plain, ...one('x'), binds: ['/etc:/etc'], outside: ['/etc'] },
  },
  {
    title: 'volume ~/.ssh:/x',
    dockerfile: '# mypaas.service=x\n# mypaas.volume=~/.ssh:/x\nFROM alpine\n',
    differences: [],
    errors: [
      "Dockerfile:2: mypaas.volume: ~/.ssh is not mounted: the server's SSH keys are there. Give another directory below the home: ~/x/data",
    ],
  },
  {
    title: 'volume ~/.sshfoo:/x',
    dockerfile: '# mypaas.service=x\n# mypaas.volume=~/.sshfoo:/x\nFROM alpine\n',
    differences: [],
    errors: [
      'Dockerfile:2: mypaas.volume: ~/.sshfoo is not mounted: names with a dot in front hold settings, credentials and programs of the server\'s user. Give another directory below the home: ~/x/data. Or allow it in the section [server] of the server\'s config.toml: home_paths = ["~/.sshfoo"]',
    ],
  },
  {
    title: 'volume ~:/x',
    dockerfile: '# mypaas.service=x\n# mypaas.volume=~:/x\nFROM alpine\n',
    differences: [{ was: 'mounted', is: 'an error', why: 'The container got all keys and secrets of the server.' }],
    errors: [
      'Dockerfile:2: mypaas.volume: the home directory as a whole is not mounted: it has keys and secrets in it. Give a directory below it: ~/x/data',
    ],
  },
  {
    title: 'a volume beside the home, whose path begins the same',
    dockerfile: `# mypaas.service=x\n# mypaas.volume=${home}X/y:/x\nFROM alpine\n`,
    differences: [
      {
        was: 'mounted, as if it were below the home',
        is: 'the server decides: an error unless volume_roots has it',
        why: 'Paths were compared as text, not part by part.',
      },
    ],
    spec: { service: 'x', volumes: [{ kind: 'host', path: `${home}X/y`, target: '/x', readOnly: false }] },
    container: { ...plain, ...one('x'), binds: [`${home}X/y:/x`], outside: [`${home}X/y`] },
  },
  {
    title: 'volume ~/d:/x:ro',
    dockerfile: '# mypaas.service=x\n# mypaas.volume=~/d:/x:ro\nFROM alpine\n',
    differences: [],
    spec: { service: 'x', volumes: [{ kind: 'home', path: 'd', target: '/x', readOnly: true }] },
    container: { ...plain, ...one('x'), binds: [`${home}/d:/x:ro`] },
  },
  {
    title: 'a volume that leaves the home by ..',
    dockerfile: `# mypaas.service=x\n# mypaas.volume=${home}/../etc:/x\nFROM alpine\n`,
    differences: [],
    errors: [`Dockerfile:2: mypaas.volume: the path "${home}/../etc" has a part "." or "..". Write it without`],
  },
]
