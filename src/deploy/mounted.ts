import { join } from 'node:path'
import {
  type ContainerSummary,
  type Docker,
  findEngine,
  type MountPoint,
  NotFoundError,
  type Volume,
} from '../docker/index.ts'
import type { Mount } from '../service/spec.ts'
import type { Host } from './host.ts'
import { identify, identifyRun } from './identity.ts'
import { type JournalRelease, journalledServices, readJournal } from './journal.ts'
import { follow, MountTable, type Place, strictlyBelow } from './mount-path.ts'

/** Who has something mounted. */
export type Holder =
  | Readonly<{
      kind: 'container'
      name: string
      /** The service and release of a replica of ours, or of a command that was run beside it. */
      service: string | undefined
      release: number | undefined
      ours: boolean
      isRun: boolean
      /** It was made and never started: whoever made it may be about to. */
      isMade: boolean
      /** Whether it runs or can start; asked only of one that matters. */
      lives: () => Promise<boolean>
    }>
  | Readonly<{
      kind: 'service'
      service: string
      release: number
      /** It is the current one and meant to run: whatever of it is not there now, is made and started again. */
      isMeant: boolean
      name?: never
    }>

/** One source that is mounted. */
export type Source = Readonly<{ place: Place; writable: boolean; by: Holder }>

/** What is mounted on this machine, by whom, and what nobody may mount. */
export type Mounted = Readonly<{
  table: MountTable
  sources: readonly Source[]
  volumes: ReadonlyMap<string, Volume>
  /** Places that no service may mount, nor what lies above or below them; and what they are. */
  ours: readonly Readonly<{ place: Place; what: string }>[]
  /** Where the engine keeps its data. */
  engineRoot: string
}>

/** Looks at every container of the engine, whoever made it, and at the journals of all services. */
export async function readMounted(host: Host): Promise<Mounted> {
  const [table, containers, found, engineRoot, ours] = await Promise.all([
    MountTable.read(),
    host.docker.containers.list({ all: true }),
    host.docker.volumes.list(),
    engineRootOf(host.docker),
    placesOfOurs(host),
  ])
  const volumes = new Map((found.Volumes ?? []).map((volume) => [volume.Name, volume]))
  const where = { host, volumes, engineRoot }
  const sources = [
    ...(await Promise.all(containers.map((container) => sourcesOfContainer(where, container)))).flat(),
    ...(await sourcesOfJournals(where)),
  ]
  return { table, sources, volumes, engineRoot, ours }
}

type Where = Readonly<{ host: Host; volumes: ReadonlyMap<string, Volume>; engineRoot: string }>

/** What of the machine a mount leads to: a volume of another kind can stand for two places. */
export async function placesOfMount(where: Where, mount: Mount): Promise<readonly Place[]> {
  switch (mount.kind) {
    case 'home':
      return [await follow(join(where.host.home, mount.path))]
    case 'host':
      return [await follow(mount.path)]
    case 'named':
      return placesOfVolume(where, mount.name)
    default:
      return mount satisfies never
  }
}

async function placesOfVolume({ volumes, engineRoot }: Where, name: string): Promise<readonly Place[]> {
  const volume = volumes.get(name)
  const point = volume?.Mountpoint || join(engineRoot, 'volumes', name, '_data')
  const device = volume && boundDirectory(volume)
  const places = await Promise.all([point, ...(device === undefined ? [] : [device])].map(follow))
  const root = await follow(engineRoot)
  return places.map((place) => (isOfEngine(place, root) ? seen(place) : place))
}

/**
 * Whether what of a path can't be seen is the engine's own: its data is closed to all but root, and no container can write
 * above what of it is a volume, so the rest of the path is as the engine says.
 */
function isOfEngine({ unseen }: Place, { real: root }: Place): boolean {
  return unseen !== undefined && (unseen === root || strictlyBelow(unseen, root))
}

function seen({ written, real, links }: Place): Place {
  return { written, real, links }
}

/** A volume can be a name for a directory of the machine: `type=none`, `o=bind`, `device=/srv/x`. */
export function boundDirectory({ Options }: Volume): string | undefined {
  const device = Options?.['device'] ?? ''
  const isBind = (Options?.['o'] ?? '').split(',').some((option) => option === 'bind' || option === 'rbind')
  return device.startsWith('/') && isBind ? device : undefined
}

async function sourcesOfContainer(where: Where, container: ContainerSummary): Promise<readonly Source[]> {
  const { host } = where
  const { State } = container
  const name = (container.Names[0] ?? container.Id).replace(/^\//, '')
  // Labels alone say nothing: an image can bring them.
  const run = identifyRun(host, container)
  const identity = run ?? (await identify(host, container))
  if (!identity && host.trustedContainers.includes(name)) return []
  const isUp = State === 'running' || State === 'restarting' || State === 'paused' || State === 'created'
  const by: Holder = {
    kind: 'container',
    name,
    service: identity?.service,
    release: identity?.release,
    ours: identity !== undefined,
    isRun: run !== undefined,
    isMade: State === 'created',
    lives: async () => isUp || (await comesBack(host, container.Id)),
  }
  const found: Source[] = []
  for (const mount of container.Mounts ?? []) {
    for (const place of await placesOfMountPoint(where, mount)) found.push({ place, writable: mount.RW, by })
  }
  return found
}

/** Another's mount may lead nowhere, which is no reason to refuse one of ours. */
async function placesOfMountPoint(where: Where, { Type, Name, Source }: MountPoint): Promise<readonly Place[]> {
  try {
    if (Type === 'volume' && Name) return await placesOfVolume(where, Name)
    return Source?.startsWith('/') ? [await follow(Source)] : []
  } catch {
    return Source?.startsWith('/') ? [{ written: Source, real: Source, links: [] }] : []
  }
}

async function comesBack(host: Host, id: string): Promise<boolean> {
  try {
    const { State, HostConfig } = await host.docker.containers.inspect(id)
    const policy = HostConfig.RestartPolicy?.Name ?? ''
    return State.Running || (policy !== '' && policy !== 'no')
  } catch (error) {
    if (error instanceof NotFoundError) return false
    throw error
  }
}

async function sourcesOfJournals(where: Where): Promise<readonly Source[]> {
  const { directory } = where.host
  const found: Source[] = []
  for (const service of await journalledServices(directory)) {
    // One that nobody can read has containers, which count anyway.
    const journal = await readJournal(directory, service).catch(() => undefined)
    const releases = [journal?.current, journal?.next].filter((one): one is JournalRelease => one !== undefined)
    for (const one of releases) {
      const isMeant = one === journal?.current && journal.stopped !== true
      const by: Holder = { kind: 'service', service, release: one.release, isMeant }
      for (const mount of one.spec?.volumes ?? []) {
        const places = await placesOfMount(where, mount).catch(() => [])
        for (const place of places) found.push({ place, writable: !mount.readOnly, by })
      }
    }
  }
  return found
}

async function placesOfOurs(host: Host): Promise<Mounted['ours']> {
  const endpoint = await findEngine(process.env).catch(() => undefined)
  const root = await engineRootOf(host.docker)
  const named: (readonly [path: string, what: string])[] = [
    [host.directory, 'where mypaas keeps its secrets and journals'],
    [root, 'where the engine keeps its data'],
    ['/run/docker.sock', "the engine's socket"],
    ['/run/docker', 'of the engine'],
    ['/run/containerd', 'of the engine'],
    ...(endpoint?.kind === 'unix' ? [[endpoint.path, "the engine's socket"] as const] : []),
    ...['/proc', '/sys', '/dev'].map((path) => [path, 'of the kernel'] as const),
  ]
  return Promise.all(named.map(async ([path, what]) => ({ place: await follow(path), what })))
}

const roots = new WeakMap<Docker, Promise<string>>()

/** Asked once: an engine has one for as long as it runs. */
function engineRootOf(docker: Docker): Promise<string> {
  let root = roots.get(docker)
  if (!root) {
    root = docker.system.info().then(({ DockerRootDir }) => DockerRootDir)
    root.catch(() => roots.delete(docker))
    roots.set(docker, root)
  }
  return root
}
