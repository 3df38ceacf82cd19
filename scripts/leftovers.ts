// What tests left behind: `leftovers.ts before FILE` writes down what is there, `leftovers.ts after FILE` fails when
// there is more, `leftovers.ts remove` removes it. It looks only at what tests mark: the label `mypaas.test`,
// the worlds in MYPAAS_TEST_LEDGER, and processes with this MYPAAS_TEST_RUN. Run by scripts/test.
import { existsSync } from 'node:fs'
import { readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { Docker, NotFoundError } from '../src/docker/index.ts'
import { removeNetwork } from '../test/support/stuck-network.ts'

/** `remove` is done with false where only the engine is to blame that it stays. */
type Leftover = Readonly<{ what: string; remove: () => Promise<unknown> }>
type Thing = Leftover & Readonly<{ name: string; id: string; labels: Readonly<Record<string, string>> }>
/** Written by test/support/world.ts when a world begins, and again with its server's id when it ends. */
type World = Readonly<{ instance: string; home: string; id?: string }>

const [command, file] = process.argv.slice(2)
await using docker = new Docker()
if (command === 'before' && file) {
  const marked = (await things()).filter(isMarked)
  await writeFile(file, JSON.stringify(marked.map((thing) => thing.id)))
} else if (command === 'after' && file) {
  await report(new Set(JSON.parse(await readFile(file, 'utf8')) as string[]))
} else if (command === 'remove') {
  await remove()
} else {
  throw new Error('leftovers.ts before FILE | after FILE | remove')
}

/** What ends by itself gets a moment for it. */
async function report(before: ReadonlySet<string>): Promise<void> {
  const isNew = (thing: Thing) => isMarked(thing) && !before.has(thing.id)
  let left = await leftovers(isNew)
  for (let round = 0; left.length > 0 && round < 10; round++) {
    await sleep(500)
    left = await leftovers(isNew)
  }
  for (const leftover of left) {
    if (await isKeptByEngine(leftover)) {
      console.log(`${leftover.what}: the engine miscounts what is on it, and lets it be removed after its next start`)
      continue
    }
    console.log(`left behind: ${leftover.what}`)
    process.exitCode = 1
  }
}

/** Removes a network that is left, for only so it is seen whether that is ours to do. */
async function isKeptByEngine({ what, remove }: Leftover): Promise<boolean> {
  return what.startsWith('network ') && (await remove().catch(() => true)) === false
}

/**
 * Processes first, so that nothing is made anew; containers before what they use. What has only the label stays: it may
 * belong to tests that somebody else runs at this moment.
 */
async function remove(): Promise<void> {
  for (const leftover of await leftovers(() => false)) {
    try {
      const isGone = await leftover.remove()
      if (isGone !== false) console.log(`removed: ${leftover.what}`)
    } catch (error) {
      if (!(error instanceof NotFoundError)) console.log(`can't remove ${leftover.what}: ${error}`)
    }
  }
}

async function leftovers(also: (thing: Thing) => boolean): Promise<Leftover[]> {
  const worlds = await ledger()
  const ours = (thing: Thing) => also(thing) || worlds.some((world) => belongsTo(thing, world))
  const homes = [...new Set(worlds.map(({ home }) => home))].filter((home) => existsSync(home))
  return [
    ...(await processes(process.env['MYPAAS_TEST_RUN'])),
    ...(await things()).filter(ours),
    ...homes.map((home) => ({ what: `folder ${home}`, remove: () => rm(home, { recursive: true }) })),
  ]
}

function isMarked(thing: Thing): boolean {
  return 'mypaas.test' in thing.labels
}

function belongsTo(thing: Thing, { instance, id }: World): boolean {
  const labelled = ([key, value]: [string, string]) => key.startsWith('mypaas.') && value === id
  return thing.name.startsWith(`${instance}-`) || Object.entries(thing.labels).some(labelled)
}

async function things(): Promise<Thing[]> {
  const [containers, networks, volumes, images] = await Promise.all([
    docker.containers.list({ all: true }),
    docker.networks.list(),
    docker.volumes.list(),
    docker.images.list(),
  ])
  const thing = (
    kind: string,
    name: string,
    id: string,
    labels: Thing['labels'] | null | undefined,
    remove: Thing['remove'],
  ): Thing => ({
    what: `${kind} ${name}`,
    name,
    id,
    labels: labels ?? {},
    remove,
  })
  return [
    ...containers.map(({ Id, Names, Labels }) =>
      thing('container', Names[0]?.slice(1) ?? Id, Id, Labels, () =>
        docker.containers.remove(Id, { force: true, volumes: true }),
      ),
    ),
    ...networks.map(({ Id, Name, Labels }) => thing('network', Name, Id, Labels, () => removeNetwork(docker, Id))),
    ...(volumes.Volumes ?? []).map(({ Name, Labels }) =>
      thing('volume', Name, Name, Labels, () => docker.volumes.remove(Name)),
    ),
    ...images.flatMap(({ Id, RepoTags, Labels }) =>
      (RepoTags?.length ? RepoTags : [Id]).map((name) =>
        thing('image', name, Id, Labels, () => docker.images.remove(name, { force: true })),
      ),
    ),
  ]
}

async function ledger(): Promise<World[]> {
  const path = process.env['MYPAAS_TEST_LEDGER']
  if (!path || !existsSync(path)) return []
  const lines = (await readFile(path, 'utf8')).split('\n').filter(Boolean)
  const worlds = lines.map((line) => JSON.parse(line) as World)
  return Promise.all(worlds.map(async (world) => ({ ...world, ...(await idOf(world)) })))
}

/** A world that was never taken down still has its server's id in its home. */
async function idOf({ home }: World): Promise<{ id?: string }> {
  const text = await readFile(`${home}/_mypaas/server.json`, 'utf8').catch(() => '{}')
  const { id } = JSON.parse(text) as { id?: string }
  return id === undefined ? {} : { id }
}

/** What runs with this mark in its environment, except what started us and what we started. */
async function processes(run: string | undefined): Promise<Leftover[]> {
  if (!run) return []
  const found: Leftover[] = []
  const above = await ancestors(process.pid)
  for (const pid of (await readdir('/proc').catch(() => [])).filter((entry) => /^\d+$/.test(entry)).map(Number)) {
    const environment = await readFile(`/proc/${pid}/environ`, 'utf8').catch(() => '')
    if (!environment.split('\0').includes(`MYPAAS_TEST_RUN=${run}`)) continue
    if (above.has(pid) || (await ancestors(pid)).has(process.pid)) continue
    const command = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')
    const what = `process ${pid} ${command.replaceAll('\0', ' ').trim().slice(0, 120)}`
    if (command) found.push({ what, remove: async () => process.kill(pid, 'SIGKILL') })
  }
  return found
}

async function ancestors(pid: number): Promise<Set<number>> {
  const found = new Set<number>()
  for (let next = pid; next > 1; ) {
    found.add(next)
    const status = await readFile(`/proc/${next}/status`, 'utf8').catch(() => '')
    next = Number(/^PPid:\s+(\d+)/m.exec(status)?.[1] ?? 0)
  }
  return found
}
