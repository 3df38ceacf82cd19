import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Host } from '../../src/deploy/host.ts'
import { MountTable, type Place } from '../../src/deploy/mount-path.ts'
import type { Mounted } from '../../src/deploy/mounted.ts'
import { mountProblems } from '../../src/deploy/mounts.ts'
import { usualHome } from '../../src/service/home.ts'
import { parseSpec } from '../../src/service/parse.ts'
import type { Mount, ServiceSpec } from '../../src/service/spec.ts'

const host = {
  home: '/nowhere/home',
  directory: '/nowhere/home/_mypaas',
  volumeRoots: [],
  homeRules: { ...usualHome, homes: ['/nowhere/home'] },
  trustedContainers: [],
  foreignVolumes: () => [],
} as unknown as Host

/** A machine with that many mounts, on which other containers have that many directories. */
function machine(mounts: number, others: number): Mounted {
  const lines = Array.from(
    { length: mounts },
    (_, n) => `${n} 1 0:${n} / /var/lib/docker/overlay2/${n}/merged rw - x x rw`,
  )
  const place = (path: string): Place => ({ written: path, real: path, links: [] })
  return {
    table: new MountTable(['1 1 8:1 / / rw - ext4 x rw', ...lines].join('\n')),
    sources: Array.from({ length: others }, (_, n) => ({
      place: place(`/nowhere/home/other${n}/data`),
      writable: true,
      by: { kind: 'service', service: `other${n}`, release: 1, isMeant: true },
    })),
    volumes: new Map(),
    ours: [],
    engineRoot: '/var/lib/docker',
  }
}

function specOf(volumes: readonly Mount[]): ServiceSpec {
  return { ...parseSpec('# mypaas.service = x\nFROM scratch\n'), volumes }
}

const home = (path: string, readOnly = false): Mount => ({ kind: 'home', path, target: `/${path}`, readOnly })

test('of two mounts the lower one is refused, unless none can be written', async () => {
  const mounts = [home('x'), home('x/a/b'), home('xy'), home('z', true), home('z/a', true), home('z/b')]
  const found = await mountProblems(host, specOf(mounts), { mounted: machine(10, 0) })
  assert.deepEqual(
    found.map(({ mount }) => mount),
    [mounts[1], mounts[5]],
  )
})

test('many mounts are compared in a moment, on a machine with many', { timeout: 60_000 }, async () => {
  const mounts = Array.from({ length: 1000 }, (_, n) => home(`x/${n}`))
  const mounted = machine(500, 3000)
  let asked = 0
  const reach = mounted.table.reach.bind(mounted.table)
  mounted.table.reach = (place) => {
    asked += 1
    return reach(place)
  }
  const begin = performance.now()
  const found = await mountProblems(host, specOf(mounts), { mounted: { ...mounted, sources: [] } })
  assert.deepEqual(found, [])
  // Once for each, not for each pair.
  assert.ok(asked <= 2 * mounts.length, `${asked}`)
  assert.deepEqual(await mountProblems(host, specOf(mounts.slice(0, 100)), { mounted }), [])
  assert.ok(performance.now() - begin < 10_000)
})

test('Z is for what one container has alone, and shared for whom the config names', async () => {
  const of = async (options: Mount['options'], more: Partial<ServiceSpec> = {}, place = 'x/data'): Promise<string> => {
    const spec = { ...specOf([{ ...home(place), ...(options ? { options } : {}) }]), ...more }
    const shares = { ...host, maySharePropagation: (service: string) => service === 'may' }
    const [problem] = await mountProblems(shares, spec, { mounted: machine(1, 2) })
    return problem ? `${problem.message}. ${problem.hint}` : ''
  }
  assert.equal(await of(['Z']), '')
  assert.equal(await of(['z'], { scale: 2, rollout: 'roll' }), '')
  assert.match(await of(['Z'], { scale: 1, rollout: 'roll' }), /of x there are several at a time\. Write z/)
  assert.match(await of(['Z'], { scale: 2, rollout: 'safe' }), /of x there are several at a time/)
  assert.match(await of(['Z'], {}, 'other1/data'), /the service other1 mounts it, too\. Write z/)
  assert.equal(await of(['z'], {}, 'other1/data'), '')
  assert.equal(await of(['rslave']), '')
  for (const option of ['shared', 'rshared'] as const) {
    assert.match(await of([option]), /is mounted on the machine, too\. .*\[services\.x\] .* shared_mounts = true/)
    assert.equal(await of([option], { service: 'may' }), '')
  }
})
