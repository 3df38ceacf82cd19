import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { JournalRelease } from '../../src/deploy/journal.ts'
import { routesOf, targetsOf } from '../../src/deploy/plan.ts'
import { until } from './until.ts'
import type { World } from './world.ts'

export type Settled = Readonly<{
  release: number
  spec: JournalRelease['spec']
}>

/**
 * Asserts of a service that exactly one release is current, all its replicas run, armed and reached by the router, the
 * route leads to it, nothing else of the service is there, and each of its URLs is answered by it; that no two containers
 * ever wrote to the volume `data` at the same time; and that nothing is left over: images are those of kept releases,
 * files those of a service that is at rest.
 *
 * @param among The releases that may be current now.
 */
export async function assertSettled(w: World, service: string, among: readonly number[]): Promise<Settled> {
  const journal = await w.journal(service)
  assert.ok(journal?.current, `${service} has a current release`)
  const { release, spec } = journal.current
  assert.ok(
    among.includes(release),
    `r${release} is current, one of ${among.map((one) => `r${one}`).join(', ')} is to be`,
  )
  assert.equal(journal.next, undefined, 'no release is coming')

  const gate = `${w.instance}-mypaas-gate`
  const found = await Promise.all((await w.containers(service)).map(({ Id }) => w.docker.containers.inspect(Id)))
  assert.deepEqual(
    found.map(({ Name, State, HostConfig, NetworkSettings }) => ({
      name: Name.slice(1),
      state: State.Status,
      policy: HostConfig.RestartPolicy?.Name,
      onGate: gate in NetworkSettings.Networks,
    })),
    targetsOf(spec, release, `${w.instance}-`).map(({ name }) => ({
      name,
      state: 'running',
      policy: 'always',
      onGate: spec.urls.length > 0,
    })),
  )

  const routes = JSON.parse(await readFile(join(w.home, '_mypaas/traefik/state', `${service}.json`), 'utf8')) as unknown
  assert.deepEqual(routes, JSON.parse(JSON.stringify(routesOf(spec, release))))
  for (const url of spec.urls) {
    const { status, headers } = await w.request(`${url.scheme}://${url.host}${url.path}`)
    assert.deepEqual({ status, release: headers['x-release'] }, { status: 200, release: `r${release}` })
  }

  assertOneWriter(w)
  assert.deepEqual(await filesOf(w, service), [`${service}.json`, `${service}.lock`, `${service}/history.jsonl`])
  const kept = [journal.current, ...(journal.previous ?? [])].map((one) => one.release)
  const once = onceCurrent(w, service)
  for (const one of kept) once.add(one)
  // One that a killed deploy has replaced goes when the next deploy is done; one that never came must be gone.
  const check = async () => {
    const images = await imagesOf(w, service)
    const missing = kept.filter((one) => !images.has(`r${one}`))
    const extra = othersThan(kept, images).filter((name) => !once.has(Number(name.slice(1))))
    assert.deepEqual({ missing, extra }, { missing: [], extra: [] }, `images: ${[...images.keys()].join(', ')}`)
    return true
  }
  // The engine may be at removing one for somebody who was killed: it has no name then, and goes.
  await until(check, { what: 'nothing but the images of kept releases', timeoutMs: 5_000 })
  return { release, spec }
}

/** As `assertSettled`, after a deploy that nobody disturbed: also no image but the kept ones is there. */
export async function assertTidy(w: World, service: string, release: number): Promise<void> {
  await assertSettled(w, service, [release])
  const journal = await w.journal(service)
  const kept = [journal?.current, ...(journal?.previous ?? [])].map((one) => one?.release ?? 0)
  assert.deepEqual(othersThan(kept, await imagesOf(w, service)), [])
}

/** Names of images that are none of kept releases, nor further names of theirs: as what one was built, it has another. */
function othersThan(kept: readonly number[], images: ReadonlyMap<string, string>): string[] {
  const ids = new Set(kept.map((release) => images.get(`r${release}`)))
  return [...images].filter(([, id]) => !ids.has(id)).map(([name]) => name)
}

const seen = new Map<string, Set<number>>()

function onceCurrent(w: World, service: string): Set<number> {
  const key = `${w.instance}-${service}`
  const releases = seen.get(key) ?? new Set()
  seen.set(key, releases)
  return releases
}

/** `app/server.mjs` with the volume `~/data` writes this file when it is not the only one. */
export function assertOneWriter(w: World): void {
  assert.equal(existsSync(join(w.home, 'data', 'violations')), false, 'never two writers')
}

/** `r1`, `r2`, …, each with the id of its image; an image without a name by its id. */
async function imagesOf(w: World, service: string): Promise<ReadonlyMap<string, string>> {
  const label = [`mypaas.image.server=${await w.serverId()}`, `mypaas.image.service=${service}`]
  const images = await w.docker.images.list({ all: true, filters: { label } })
  const names = images.flatMap(({ Id, RepoTags }) => (RepoTags?.length ? RepoTags : [Id]).map((name) => [name, Id]))
  return new Map(names.map(([name = '', id = '']) => [name.replace(`${w.instance}-${service}:`, ''), id]))
}

async function filesOf(w: World, service: string): Promise<string[]> {
  const folder = join(w.home, '_mypaas/services')
  const all = await readdir(folder, { recursive: true, withFileTypes: true })
  return (
    all
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1))
      .filter((path) => path.startsWith(`${service}.`) || path.startsWith(`${service}/`))
      // What removed containers wrote is kept on purpose.
      .filter((path) => !/\/logs\/r\d+-\d+\.log$/.test(path))
      .sort()
  )
}
