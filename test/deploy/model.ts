import type { Journal } from '../../src/deploy/journal.ts'
import type { Replica } from '../../src/deploy/observe.ts'
import type { Step, Target } from '../../src/deploy/plan.ts'
import type { ServiceRoutes } from '../../src/router/config.ts'
import { gateAlias } from '../../src/service/names.ts'

type Container = { -readonly [K in keyof Replica]: Replica[K] } & { aliases: readonly string[] }

/**
 * An engine, a router and a journal in memory: what each step does to them, and what a restart of the engine does.
 * `violations` collects what must never be, checked after every step.
 */
export class Model {
  readonly containers: Map<string, Container> = new Map()
  routes: ServiceRoutes | undefined
  journal: Journal
  readonly violations: string[] = []
  readonly #oneWriter: boolean

  constructor(journal: Journal, options: { oneWriter: boolean }) {
    this.journal = journal
    this.#oneWriter = options.oneWriter
  }

  get replicas(): readonly Replica[] {
    return [...this.containers.values()].sort((a, b) => a.release - b.release || a.replica - b.replica)
  }

  apply(step: Step, commit: (release: number) => Journal): void {
    const all = (targets: readonly Target[], act: (container: Container) => void): void => {
      for (const { name } of targets) {
        const container = this.containers.get(name)
        if (container) act(container)
      }
    }
    switch (step.kind) {
      case 'create':
        for (const target of step.targets) {
          const made = {
            id: target.name,
            ...target,
            state: 'created',
            armed: false,
            onGate: false,
            aliases: [],
          } as const
          this.containers.set(target.name, { ...made })
        }
        break
      case 'start':
        all(step.targets, (container) => {
          if (container.onGate) this.violations.push(`${container.name} starts with a name on the gate`)
          if (container.state === 'paused') this.violations.push(`${container.name} is paused, which no start ends`)
          container.state = 'running'
        })
        break
      case 'unpause':
        all(step.targets, (container) => {
          if (container.state === 'paused') container.state = 'running'
        })
        break
      case 'attach':
        all(step.targets, (container) => {
          delete container.isCutOff
        })
        break
      case 'ready':
      case 'check':
        all(step.targets, (container) => {
          if (container.state !== 'running') this.violations.push(`${container.name} is waited for but does not run`)
          if (container.isCutOff) this.violations.push(`${container.name} is waited for where nobody can ask it`)
        })
        break
      case 'join':
        all(step.targets, (container) => {
          if (container.state !== 'running') this.violations.push(`${container.name} joins the gate but does not run`)
          container.onGate = true
          container.aliases = [
            gateAlias('s', container.release, container.replica),
            ...(step.fallbackOf === undefined ? [] : [gateAlias('s', step.fallbackOf, 0)]),
          ]
        })
        break
      case 'leave':
        all(step.targets, (container) => {
          container.onGate = false
          container.aliases = []
        })
        break
      case 'arm':
      case 'disarm':
        all(step.targets, (container) => {
          container.armed = step.kind === 'arm'
        })
        break
      case 'route':
        this.routes = step.routes
        break
      case 'unroute':
        this.routes = undefined
        break
      case 'stop':
        all(step.targets, (container) => {
          if (isUp(container)) container.state = 'exited'
        })
        break
      case 'remove':
        for (const { name } of step.targets) this.containers.delete(name)
        break
      case 'commit':
        this.journal = commit(step.release)
        break
      case 'rename':
      case 'stay':
      case 'probe':
      case 'request':
      case 'drain':
        break
    }
    this.#check(step)
  }

  /** The engine is killed and comes back: `always` starts again, also what was stopped by hand; `no` stays down. */
  restartEngine(): void {
    for (const container of this.containers.values()) {
      if (isUp(container) || container.state === 'exited') {
        container.state = container.armed ? 'running' : 'exited'
      }
    }
    this.#check('restart of the engine')
  }

  /** The names that a request can end at now: of replicas on the gate that run, or will when they are unpaused. */
  reachable(): readonly string[] {
    return this.replicas.flatMap((replica) => {
      const { onGate, aliases } = this.containers.get(replica.name) as Container
      return isUp(replica) && onGate ? aliases : []
    })
  }

  #check(when: Step | string): void {
    const label = typeof when === 'string' ? when : when.kind
    const running = this.replicas.filter(isUp)
    if (this.#oneWriter && new Set(running.map(({ release }) => release)).size > 1) {
      this.violations.push(`after ${label} two releases run: ${running.map(({ name }) => name).join(', ')}`)
    }
    if (this.routes && this.routes.holdMs === undefined && typeof when !== 'string') {
      const served = this.routes.active.upstreams.some((name) => this.reachable().includes(name))
      if (!served)
        this.violations.push(`after ${label} the route leads to r${this.routes.active.release}, which nobody serves`)
    }
  }
}

/** Has its processes, ports and names, whether they go on or not. */
function isUp({ state }: Pick<Replica, 'state'>): boolean {
  return state === 'running' || state === 'paused'
}
