import { createHash } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { World } from './world.ts'

/** What a world has on the engine and in its home, in sorted lines: two of them are compared whole. */
export type Inventory = Readonly<{
  /** `web-r1-1 ID running always`: name, id, state, restart policy. */
  containers: readonly string[]
  /** `web:r1 ID`; those without a name too. */
  images: readonly string[]
  networks: readonly string[]
  volumes: readonly string[]
  /**
   * The files in `~/_mypaas`; with a digest where the router reads them. Without what tells on purpose that a deploy was
   * tried: locks, and a service's history and logs in its folder.
   */
  files: readonly string[]
}>

/** Takes stock of a world, so that a test can tell whether something changed or was left behind. */
export async function inventory(world: World): Promise<Inventory> {
  const { docker } = world
  const own = (name: string) => name.startsWith(`${world.instance}-`)
  const short = (name: string) => name.replace(`${world.instance}-`, '')
  const server = await world.serverId()
  const [containers, images, networks, volumes] = await Promise.all([
    docker.containers.list({ all: true }),
    docker.images.list({ all: true }),
    docker.networks.list(),
    docker.volumes.list(),
  ])
  const mine = containers.filter(
    ({ Labels, Names }) => Labels['mypaas.server'] === server || Names.some((name) => own(name.slice(1))),
  )
  return {
    containers: (
      await Promise.all(
        mine.map(async (container) => {
          const { State, HostConfig } = await docker.containers.inspect(container.Id)
          const id = container.Id.slice(0, 12)
          return `${world.nameOf(container)} ${id} ${State.Status} ${HostConfig.RestartPolicy?.Name}`
        }),
      )
    ).sort(),
    images: images
      .filter(({ Labels, RepoTags }) => Labels?.['mypaas.image.server'] === server || RepoTags?.some(own))
      .flatMap(({ Id, RepoTags }) =>
        (RepoTags?.length ? RepoTags : ['-']).map((tag) => `${short(tag)} ${Id.slice(7, 19)}`),
      )
      .sort(),
    networks: networks
      .map(({ Name }) => Name)
      .filter(own)
      .map(short)
      .sort(),
    volumes: (volumes.Volumes ?? [])
      .filter(({ Name, Labels }) => own(Name) || Labels?.['mypaas.server'] === server)
      .map(({ Name }) => short(Name))
      .sort(),
    files: await filesBelow(join(world.home, '_mypaas')),
  }
}

async function filesBelow(root: string): Promise<string[]> {
  const found = await readdir(root, { recursive: true, withFileTypes: true })
  const paths = found
    .filter((entry) => !entry.isDirectory())
    .map((entry) => join(entry.parentPath, entry.name).slice(root.length + 1))
    .filter((path) => !/\.lock$|^services\/[^/]+\//.test(path))
  const lines = paths.map(async (path) => {
    if (!path.startsWith('traefik/dynamic/')) return path
    const digest = createHash('sha256').update(await readFile(join(root, path)))
    return `${path} ${digest.digest('hex').slice(0, 12)}`
  })
  return (await Promise.all(lines)).sort()
}
