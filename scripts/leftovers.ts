// Tells what tests left behind: `leftovers.ts before FILE` writes down what is there, `leftovers.ts after FILE` fails
// when there is more. It looks only at what tests mark: the label `mypaas.test`, the worlds in MYPAAS_TEST_LEDGER, and
// processes with this MYPAAS_TEST_RUN. Run by scripts/test.
import { existsSync } from 'node:fs'
import { readdir, readFile, writeFile } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { Docker } from '../src/docker/index.ts'

type Thing = Readonly<{ kind: string; name: string; id: string; labels: Readonly<Record<string, string>> }>
/** Written by test/support/world.ts when a world begins, and again with its server's id when it ends. */
type World = Readonly<{ instance: string; home: string; id?: string }>

const [command, file] = process.argv.slice(2)
if (!file || (command !== 'before' && command !== 'after')) throw new Error('leftovers.ts before|after FILE')
await using docker = new Docker()
if (command === 'before') {
  const marked = (await things()).filter(isMarked)
  await writeFile(file, JSON.stringify(marked.map((thing) => thing.id)))
} else {
  const before = new Set(JSON.parse(await readFile(file, 'utf8')) as string[])
  const left = await waitUntilGone(before)
  for (const line of left) console.log(`left behind: ${line}`)
  if (left.length > 0) process.exitCode = 1
}

/** What ends by itself gets a moment for it. */
async function waitUntilGone(before: ReadonlySet<string>): Promise<string[]> {
  for (let round = 0; ; round++) {
    const left = await leftovers(before)
    if (left.length === 0 || round === 10) return left
    await sleep(500)
  }
}

async function leftovers(before: ReadonlySet<string>): Promise<string[]> {
  const worlds = await ledger()
  const ours = (thing: Thing) =>
    (isMarked(thing) && !before.has(thing.id)) || worlds.some((world) => belongsTo(thing, world))
  return [
    ...(await things()).filter(ours).map((thing) => `${thing.kind} ${thing.name}`),
    ...new Set(worlds.filter(({ home }) => existsSync(home)).map(({ home }) => `folder ${home}`)),
    ...(await processes(process.env['MYPAAS_TEST_RUN'])),
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
  return [
    ...containers.map(({ Id, Names, Labels }) => thing('container', Names[0]?.slice(1), Id, Labels)),
    ...networks.map(({ Id, Name, Labels }) => thing('network', Name, Id, Labels)),
    ...(volumes.Volumes ?? []).map(({ Name, Labels }) => thing('volume', Name, Name, Labels)),
    ...images.map(({ Id, RepoTags, Labels }) => thing('image', RepoTags?.[0], Id, Labels)),
  ]
}

function thing(
  kind: string,
  name: string | undefined,
  id: string,
  labels: Record<string, string> | null | undefined,
): Thing {
  return { kind, name: name ?? id, id, labels: labels ?? {} }
}

async function ledger(): Promise<World[]> {
  const path = process.env['MYPAAS_TEST_LEDGER']
  if (!path || !existsSync(path)) return []
  const lines = (await readFile(path, 'utf8')).split('\n').filter(Boolean)
  return lines.map((line) => JSON.parse(line) as World)
}

/** What runs with this mark in its environment, except what started us and what we started. */
async function processes(run: string | undefined): Promise<string[]> {
  if (!run) return []
  const found: string[] = []
  const above = await ancestors(process.pid)
  for (const pid of (await readdir('/proc').catch(() => [])).filter((entry) => /^\d+$/.test(entry)).map(Number)) {
    const environment = await readFile(`/proc/${pid}/environ`, 'utf8').catch(() => '')
    if (!environment.split('\0').includes(`MYPAAS_TEST_RUN=${run}`)) continue
    if (above.has(pid) || (await ancestors(pid)).has(process.pid)) continue
    const command = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')
    if (command) found.push(`process ${pid} ${command.replaceAll('\0', ' ').trim().slice(0, 120)}`)
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
