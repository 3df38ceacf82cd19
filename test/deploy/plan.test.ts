import assert from 'node:assert/strict'
import test from 'node:test'
import fc from 'fast-check'
import type { Journal } from '../../src/deploy/journal.ts'
import type { Replica } from '../../src/deploy/observe.ts'
import {
  describe,
  fallbackAlias,
  type Plan,
  planDeploy,
  routesOf,
  type Step,
  settle,
  targetsOf,
} from '../../src/deploy/plan.ts'
import { gateAlias } from '../../src/service/names.ts'
import type { ServiceSpec } from '../../src/service/spec.ts'
import { Model } from './model.ts'

const timing = { startTimeoutMs: 60_000, drainMs: 300_000, holdDrainMs: 5_000, graceMs: 10_000 }

const base: ServiceSpec = {
  service: 's',
  urls: [],
  volumes: [],
  env: [],
  port: 80,
  publish: [],
  scale: undefined,
  rollout: 'stop-first',
  healthcheck: undefined,
  startTimeoutMs: undefined,
  graceMs: undefined,
  maxCpu: undefined,
  maxMemoryBytes: undefined,
}
const url = { scheme: 'http', host: 'a.test', path: '/' } as const

test('a scaled service starts its new replicas, probes them through the router, flips, and commits', () => {
  const spec: ServiceSpec = { ...base, urls: [url], scale: 2, rollout: 'roll' }
  const { plan } = deployed(spec, spec)
  assert.equal(plan.order, 'start-first')
  assert.deepEqual(plan.interruption, {
    kind: 'none',
    ms: 0,
    reason: 'the new replicas serve before the old ones stop',
  })
  assert.deepEqual(plan.steps.map(describe), [
    'create s-r2-1, s-r2-2',
    'start s-r2-1, s-r2-2',
    'wait until s-r2-1, s-r2-2 are ready',
    'let the router reach s-r2-1, s-r2-2',
    'ask s-r2-1, s-r2-2 for each URL',
    'open a probe route to r2',
    'ask r2 for each URL, through the router',
    'let s-r2-1, s-r2-2 come back after a reboot',
    'lead all requests to r2',
    'request each URL as a user would',
    'make r2 the current release',
  ])
})

test('a name is given back when it is free, or freed by this; what somebody else keeps is no work for ever', () => {
  const renamed = (nameHolder?: string): Replica => ({
    id: 'mine',
    name: 'by-hand',
    ...(nameHolder === undefined ? {} : { nameHolder }),
    release: 1,
    replica: 1,
    state: 'running',
    armed: true,
    onGate: false,
  })
  const steps = (...replicas: Replica[]): string[] => {
    const current = { release: 1, image: 'i', spec: base, deployedAt: '' }
    const journal: Journal = { version: 1, service: 's', server: 'x', lastRelease: 1, current }
    const observed = { service: 's', replicas }
    const { serve, clean } = settle({ journal, observed, routes: undefined, prefix: '', timing, drainMs: 0 })
    return [...serve, ...clean].map(({ kind }) => kind)
  }
  assert.deepEqual(steps(renamed()), ['rename'])
  assert.deepEqual(steps(renamed('somebody')), [])
  const copy: Replica = { ...renamed(), id: 'copy', name: 's-r1-1', state: 'exited', armed: false }
  assert.deepEqual(steps(renamed('copy'), copy), ['remove', 'rename'])
})

test('a service without scale holds its requests, stops the old container, starts the new one, and commits before any request gets there', () => {
  const spec: ServiceSpec = { ...base, urls: [url] }
  const { plan } = deployed(spec, spec)
  assert.equal(plan.order, 'stop-first')
  assert.equal(plan.interruption.kind, 'wait')
  assert.match(plan.interruption.reason, /^no scale/)
  assert.deepEqual(plan.steps.map(describe), [
    'create s-r2-1',
    'let requests wait for r2',
    'let open requests of s-r1-1 finish (at most 5s)',
    'keep s-r1-1 from coming back after a reboot',
    'stop s-r1-1',
    "take s-r1-1 from the router's network",
    'start s-r2-1',
    'wait until s-r2-1 is ready',
    'ask s-r2-1 for each URL',
    'let s-r2-1 come back after a reboot',
    'make r2 the current release',
  ])
})

test('requests are held for as long as a changeover can take that fails in the end, a minute at most', () => {
  const spec: ServiceSpec = { ...base, urls: [url] }
  const held = (startTimeoutMs: number): number | undefined => {
    const { model } = deployed(spec, spec)
    const observed = { service: 's', replicas: model.replicas }
    const short = { startTimeoutMs, drainMs: 1_000, holdDrainMs: 1_000, graceMs: 2_000 }
    const { journal } = model
    const plan = planDeploy({ spec, release: 2, journal, observed, prefix: '', timing: short })
    const route = plan.steps.find((step) => step.kind === 'route')
    return route?.routes.holdMs
  }
  // Drain; stop, start and first answer of the new one; stop of it and start of the old one again.
  assert.equal(held(3_000), 1_000 + (2_000 + 3_000 + 3_000) + (2_000 + 3_000))
  assert.equal(held(60_000), 60_000)
})

test('a published host port makes a rolling service stop first, and the plan says which port', () => {
  const spec: ServiceSpec = {
    ...base,
    scale: 1,
    rollout: 'roll',
    publish: [{ hostPort: 5432, containerPort: 5432, protocol: 'tcp' }],
  }
  const { plan } = deployed(spec, spec)
  assert.equal(plan.order, 'stop-first')
  assert.equal(plan.interruption.reason, 'publishes host port 5432, which only one release can have')
})

test('settling a service that is as it should be does nothing', () => {
  const spec: ServiceSpec = { ...base, urls: [url], scale: 3, rollout: 'roll' }
  const model = running(spec, 1, { oneWriter: false })
  assert.deepEqual(settleSteps(model), [])
  const quiet = running({ ...base }, 1, { oneWriter: true })
  assert.deepEqual(settleSteps(quiet), [])
})

test('a container that was removed by hand is made again, one that was stopped is started again', () => {
  const spec: ServiceSpec = { ...base, urls: [url], scale: 3, rollout: 'roll' }
  const model = running(spec, 1, { oneWriter: false })
  model.containers.delete('s-r1-2')
  const stopped = model.containers.get('s-r1-3')
  assert.ok(stopped)
  stopped.state = 'exited'
  for (const step of settleSteps(model)) model.apply(step, keep(model))
  assertSettled(model, spec, 1)
})

test('a replica that the engine is removing is waited for and made anew; one of before is only waited for', () => {
  const spec: ServiceSpec = { ...base, urls: [url], scale: 2, rollout: 'roll' }
  for (const state of ['removing', 'dead'] as const) {
    const model = running(spec, 2, { oneWriter: false })
    const going = model.containers.get('s-r2-1')
    assert.ok(going)
    going.state = state
    const old = { id: 'old', name: 's-r1-1', release: 1, replica: 1, armed: false, onGate: false, aliases: [] } as const
    model.containers.set('s-r1-1', { ...old, state })
    const steps = settleSteps(model)
    assert.deepEqual(steps.map(describe), [
      'remove s-r2-1',
      'create s-r2-1',
      'start s-r2-1',
      'wait until s-r2-1 is ready',
      'let the router reach s-r2-1',
      'let s-r2-1 come back after a reboot',
      'remove s-r1-1',
    ])
    for (const step of steps) model.apply(step, keep(model))
    assertSettled(model, spec, 2)
  }
})

test('a paused replica goes on where it is, and a deploy takes it for one that runs', () => {
  const spec: ServiceSpec = { ...base, urls: [url] }
  const model = running(spec, 1, { oneWriter: true })
  for (const container of model.containers.values()) container.state = 'paused'
  assert.deepEqual(settleSteps(model).map(describe), ['let s-r1-1 go on, which is paused'])
  const observed = { service: 's', replicas: model.replicas }
  const { order } = planDeploy({ spec, release: 2, journal: model.journal, observed, prefix: '', timing })
  assert.equal(order, 'stop-first')
  for (const step of settleSteps(model)) model.apply(step, keep(model))
  assertSettled(model, spec, 1)
})

test('requests that were held for a release which failed end at the one that comes back', () => {
  const spec: ServiceSpec = { ...base, urls: [url] }
  const { model, plan } = deployed(spec, { ...spec, port: 8080 })
  const failing = plan.steps.findIndex(({ kind }) => kind === 'ready')
  for (const step of plan.steps.slice(0, failing)) model.apply(step, keep(model))
  for (const step of settleSteps(model)) model.apply(step, keep(model))
  assert.deepEqual(model.reachable().toSorted(), [fallbackAlias('s', 2), gateAlias('s', 1, 1)].toSorted())
  assertSettled(model, spec, 1)
})

test('requests that were held when a deploy was stopped before the old release left end at it, too', () => {
  const spec: ServiceSpec = { ...base, urls: [url] }
  const { model, plan } = deployed(spec, spec)
  const drain = plan.steps.findIndex(({ kind }) => kind === 'drain')
  for (const step of plan.steps.slice(0, drain)) model.apply(step, keep(model))
  for (const step of settleSteps(model)) model.apply(step, keep(model))
  assert.ok(model.reachable().includes(fallbackAlias('s', 2)))
  assertSettled(model, spec, 1)
})

test('cut off after any step, with or without a restart of the engine, a deploy settles at the old release or the new one and nothing else', () => {
  const anySpec = fc
    .record({
      scaled: fc.constantFrom('none', 'zero', 'roll', 'safe'),
      replicas: fc.integer({ min: 1, max: 3 }),
      routed: fc.boolean(),
      hostPort: fc.boolean(),
      port: fc.constantFrom(80, 8080),
    })
    .map(({ scaled, replicas, routed, hostPort, port }): ServiceSpec => {
      const many = scaled === 'roll' || scaled === 'safe'
      return {
        ...base,
        port,
        scale: many ? replicas : scaled === 'zero' ? 0 : undefined,
        rollout: many ? (scaled === 'safe' ? 'safe' : 'roll') : 'stop-first',
        urls: routed ? [url] : [],
        publish: hostPort && (!many || replicas === 1) ? [{ hostPort: 99, containerPort: 99, protocol: 'tcp' }] : [],
      }
    })
  const cut = fc.record({
    after: fc.integer({ min: 0, max: 20 }),
    restart: fc.boolean(),
    again: fc.integer({ min: 0, max: 20 }),
    restartAgain: fc.boolean(),
    paused: fc.constantFrom(0, 0, 1, 2, 3),
    cutOff: fc.constantFrom(0, 0, 1, 3),
  })
  fc.assert(
    fc.property(
      anySpec,
      anySpec,
      fc.boolean(),
      cut,
      (before, next, hasBefore, { after, restart, again, restartAgain, paused, cutOff }) => {
        const { model, plan } = deployed(hasBefore ? before : undefined, next)
        for (const step of plan.steps.slice(0, after)) model.apply(step, commit(model, next))
        if (restart) model.restartEngine()
        const up = [...model.containers.values()].filter(({ state }) => state === 'running')
        for (const container of up.slice(0, paused)) container.state = 'paused'
        for (const container of up.slice(0, cutOff)) container.isCutOff = true
        // Settling may be cut off as well.
        for (const step of settleSteps(model).slice(0, again)) model.apply(step, keep(model))
        if (restartAgain) model.restartEngine()
        for (const step of settleSteps(model)) model.apply(step, keep(model))
        const release = model.journal.current?.release
        assert.equal(release, after >= plan.steps.length ? 2 : hasBefore ? 1 : undefined)
        assertSettled(model, release === 2 ? next : before, release)
        const more = settleSteps(model).filter(({ kind }) => kind !== 'route' && kind !== 'unroute')
        assert.deepEqual(more, [], 'settling twice does nothing more')
      },
    ),
    { numRuns: 5_000 },
  )
})

/** A model in which `before` runs as r1 (or nothing), and the plan that brings `next` as r2. */
function deployed(before: ServiceSpec | undefined, next: ServiceSpec): { model: Model; plan: Plan } {
  const oneWriter = next.rollout !== 'roll' && (before === undefined || before.rollout !== 'roll')
  const model = before ? running(before, 1, { oneWriter }) : new Model(empty, { oneWriter })
  model.journal = { ...model.journal, next: { release: 2, image: 'i2', spec: next, deployedAt: '' }, lastRelease: 2 }
  const observed = { service: 's', replicas: model.replicas }
  return { model, plan: planDeploy({ spec: next, release: 2, journal: model.journal, observed, prefix: '', timing }) }
}

const empty: Journal = { version: 1, service: 's', server: 'x', lastRelease: 0 }

function running(spec: ServiceSpec, release: number, options: { oneWriter: boolean }): Model {
  const journal: Journal = { ...empty, current: { release, image: 'i', spec, deployedAt: '' }, lastRelease: release }
  const model = new Model(journal, options)
  const routed = spec.urls.length > 0
  for (const target of targetsOf(spec, release, '')) {
    const aliases = routed ? [gateAlias('s', release, target.replica)] : []
    model.containers.set(target.name, {
      id: target.name,
      ...target,
      state: 'running',
      armed: true,
      onGate: routed,
      aliases,
    })
  }
  if (routed) model.routes = routesOf(spec, release)
  return model
}

function settleSteps(model: Model): readonly Step[] {
  const { journal, routes } = model
  const observed = { service: 's', replicas: model.replicas }
  const { serve, clean } = settle({ journal, observed, routes, prefix: '', timing, drainMs: timing.drainMs })
  return [...serve, ...clean]
}

function keep(model: Model): () => Journal {
  return () => model.journal
}

function commit(model: Model, spec: ServiceSpec): (release: number) => Journal {
  return (release) => {
    const { next: _, ...journal } = model.journal
    return { ...journal, current: { release, image: 'i', spec, deployedAt: '' } }
  }
}

function assertSettled(model: Model, spec: ServiceSpec, release: number | undefined): void {
  assert.deepEqual(model.violations, [])
  if (release === undefined) {
    assert.deepEqual(model.replicas, [])
    assert.equal(model.routes, undefined)
    return
  }
  const routed = spec.urls.length > 0
  assert.deepEqual(
    model.replicas.map(({ name, state, armed, onGate, isCutOff = false }) => ({
      name,
      state,
      armed,
      onGate: routed ? onGate : false,
      isCutOff,
    })),
    targetsOf(spec, release, '').map(({ name }) => ({
      name,
      state: 'running',
      armed: true,
      onGate: routed,
      isCutOff: false,
    })),
  )
  assert.deepEqual(model.routes, routed ? routesOf(spec, release) : undefined)
}
