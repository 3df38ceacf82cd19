/** One address of a service. `host` is lower case; `path` is `/` or `/a/b` without a slash at its end. */
export type ServiceUrl = Readonly<{ scheme: 'http' | 'https'; host: string; path: string }>

/** An option of docker's `--volume` besides `ro` and `rw`, with which a mount is passed on to the engine. */
export type MountOption = (typeof mountOptions)[number]

export const mountOptions = [
  /** SELinux labels: for all containers that mount it, or for one container alone. */
  'z',
  'Z',
  /** A new volume stays empty, and does not begin with what the image has there. */
  'nocopy',
  /** They have a meaning on a Mac only. */
  'cached',
  'delegated',
  'consistent',
  /** Whether what is mounted below it later is seen on the other side, too. */
  'private',
  'rprivate',
  'slave',
  'rslave',
  'shared',
  'rshared',
] as const

type Mounted = Readonly<{
  target: string
  readOnly: boolean
  /** As written, of each kind one at most; absent if there are none. */
  options?: readonly MountOption[]
}>

/**
 * What is mounted at `target` in each container.
 *
 * - `home`: `path` below the server's home, relative and clean (`data/pg`)
 * - `host`: an absolute path elsewhere; the server allows it only below one of its `volume_roots`
 * - `named`: a Docker volume
 */
export type Mount = Readonly<
  { kind: 'home'; path: string } | { kind: 'host'; path: string } | { kind: 'named'; name: string }
> &
  Mounted

/** One environment variable. Without `value` it is a secret: the server samples it from its config at deploy. */
export type EnvVariable = Readonly<{ key: string; value?: string }>

/**
 * One published port, ranges already spread. `hostIp` is absent for all addresses, `hostPort` for one of the engine's
 * choice. With `hostPortEnd` the engine takes one that is free from `hostPort` to `hostPortEnd` (`8000-8010:80`).
 */
export type PublishedPort = Readonly<{
  hostIp?: string
  hostPort?: number
  hostPortEnd?: number
  containerPort: number
  protocol: 'tcp' | 'udp' | 'sctp'
}>

/** A health check by HTTP: 2xx or 3xx within `timeoutMs` is healthy. */
export type HealthCheck = Readonly<{ path: string; intervalMs: number; timeoutMs: number }>

/**
 * How one release takes over from the other: `stop-first` (one writer: no scale, or scale 0), `roll` (new replicas
 * serve before old ones go), `safe` (all old replicas are gone before a new one serves).
 */
export type Rollout = 'stop-first' | 'roll' | 'safe'

/** The settings of a service, parsed from the `# mypaas.` lines of its Dockerfile; never a secret's value. */
export type ServiceSpec = Readonly<{
  service: string
  urls: readonly ServiceUrl[]
  volumes: readonly Mount[]
  env: readonly EnvVariable[]
  /** The port that the process in the container listens on; 80 unless given. */
  port: number
  publish: readonly PublishedPort[]
  /** As written: `undefined` without the directive, 0 for non-scaling, else the number of replicas. */
  scale: number | undefined
  rollout: Rollout
  healthcheck: HealthCheck | undefined
  /** How long a container may take to get ready, and to give its first answer; `undefined` for the server's own time. */
  startTimeoutMs: number | undefined
  /** Between asking a container to stop and killing it, whole seconds; the server's own unless given. */
  graceMs: number | undefined
  /** CPUs per container: 1.5 is one and a half. */
  maxCpu: number | undefined
  maxMemoryBytes: number | undefined
}>
