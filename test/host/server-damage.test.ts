import assert from 'node:assert/strict'
import { appendFile, mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { compiledProgram } from '../support/compiled.ts'
import { type World, world } from '../support/world.ts'

test('a file that was damaged by hand hurts its own service only, and is named', async (t) => {
  const program = await compiledProgram(t)
  const w = await world(t, { program })
  await w.init()
  for (const name of ['hurt', 'well'])
    await w.deploy(await w.service(name, { directives: [`url=http://${name}.test`, 'scale=2', 'healthcheck=/ 1s 1s'] }))
  const services = join(w.home, '_mypaas', 'services')
  const file = join(services, 'hurt.json')
  const whole = await readFile(file, 'utf8')
  const journal = JSON.parse(whole) as { current: object }
  const damages: Readonly<Record<string, () => Promise<unknown>>> = {
    'cut off': () => writeFile(file, whole.slice(0, 200)),
    'without a spec': () =>
      writeFile(file, JSON.stringify({ ...journal, current: { ...journal.current, spec: undefined } })),
    'a directory': () => mkdir(file),
  }
  for (const [what, damage] of Object.entries(damages)) {
    await t.test(`a journal that is ${what}`, async () => {
      await rm(file, { recursive: true })
      await damage()
      const { problems } = await statusOf(w)
      assert.match(String(problems['hurt']), /The journal of hurt, \S+hurt\.json, /)
      assert.equal(problems['well'], undefined)
      assert.match((await w.cli(['server', 'doctor'])).stdout, /services: hurt: The journal of hurt, \S+hurt\.json, /)
      assert.doesNotMatch((await w.cli(['server', 'doctor'])).stdout, /well/)
      await w.deploy(join(w.home, 'services', 'well'), '--plan')
      const reconciled = await w.cli(['server', 'reconcile'])
      assert.equal(reconciled.code, 6)
      assert.match(reconciled.stdout, /well r\d+ is as it should be/)
      assert.match(reconciled.stderr, /The journal of hurt, \S+hurt\.json, /)
      for (const name of ['hurt', 'well']) assert.equal((await w.request(`http://${name}.test/`)).status, 200)
      await rm(file, { recursive: true })
      await writeFile(file, whole)
      assert.match((await w.ok(['server', 'reconcile'])).stdout, /hurt r1 is as it should be/)
    })
  }

  await t.test('what is kept of the router, whatever it has become', async () => {
    const state = join(w.home, '_mypaas', 'traefik', 'state')
    for (const text of ['', '7', 'null', '{}', '{"service":"hurt"}', '{"service":"hurt","urls":[],"active":{}}']) {
      await writeFile(join(state, 'hurt.json'), text)
      await writeFile(join(state, '.certificates'), text)
      await w.ok(['server', 'restart', 'well'])
      assert.match((await w.ok(['server', 'reconcile'])).stdout, /hurt r1 mended: lead all requests to r1/)
      assert.deepEqual((await statusOf(w)).problems, { hurt: undefined, well: undefined })
    }
  })

  await t.test('a history that is no file: what is kept is listed, and a deploy goes through', async () => {
    const history = join(services, 'hurt', 'history.jsonl')
    await appendFile(history, '\0\nnull\n{"release":7}\n')
    assert.match((await w.ok(['server', 'releases', 'hurt'])).stdout, /r1 +current +deploy of /)
    await rm(history)
    await mkdir(history)
    const { stdout, stderr } = await w.ok(['server', 'releases', 'hurt'])
    assert.match(stdout, /r1 +current/)
    assert.match(stderr, /The history of hurt, \S+history\.jsonl, can't be read \(EISDIR\)\. Move it away/)
    await w.deploy(join(w.home, 'services', 'hurt'))
    await rm(history, { recursive: true })
  })

  await t.test("docker's own config", async () => {
    const config = join(w.home, '.docker', 'config.json')
    await mkdir(config, { recursive: true })
    await w.deploy(join(w.home, 'services', 'hurt'))
    await rm(config, { recursive: true })
    await writeFile(config, '{ oops')
    await w.deploy(join(w.home, 'services', 'hurt'))
  })
})

async function statusOf(w: World): Promise<{ problems: Record<string, unknown> }> {
  const { stdout } = await w.ok(['server', 'status', '--json'])
  const found = JSON.parse(stdout) as { service: string; problem?: string }[]
  return { problems: Object.fromEntries(found.map(({ service, problem }) => [service, problem])) }
}
