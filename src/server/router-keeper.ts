import { setTimeout as sleep } from 'node:timers/promises'
import { MypaasError } from '../errors.ts'
import { mendRouter, type RouterTrouble, routerTrouble } from '../router/care.ts'
import { type OpenServer, openServer, routerContainer } from './host.ts'

export type RouterKeeperOptions = Readonly<{
  home: string
  /** Told what it does, in lines; what goes wrong again in the same way is told once. */
  log: (line: string) => void
  /** Told when the router serves again. */
  onMended: () => void
  signal: AbortSignal
}>

const lookMs = 1_000
/** In trouble, so that a router that hangs is told from one that was slow once. */
const lookAgainMs = 150
/** What takes so long for next to nothing has stood still itself: that the router was slow then says nothing. */
const standstillMs = 1_000
/** A router that was restarted because it hung, and hangs again before that long, is not helped by the next restart. */
const helpedMs = 10_000
const longestPauseMs = 5 * 60_000

/** How long a trouble has to last: the engine, or a person, may be at ending it. */
const patienceMs: Readonly<Record<RouterTrouble['kind'], number>> = {
  missing: 1_000,
  down: 1_000,
  paused: 2_000,
  cut: 1_000,
  silent: 2_600,
  leftovers: 2_000,
}
/** The engine starts one that crashes again and again by itself, ever more rarely. */
const restartingPatienceMs = 8_000

/**
 * Looks after the router as the {@link Keeper} does after services: one that was stopped, killed, removed, paused, renamed
 * or cut from its networks, or that accepts and does not answer, serves again within 10 s.
 */
export class RouterKeeper {
  readonly #options: RouterKeeperOptions
  #trouble: { kind: string; since: number } | undefined
  #failures = 0
  #notBefore = 0
  #restartedAt = Number.NEGATIVE_INFINITY
  #said = ''

  constructor(options: RouterKeeperOptions) {
    this.#options = options
  }

  /** Until the signal; also while the engine is away, which is for others to tell. */
  async keep(): Promise<void> {
    const { home, signal } = this.#options
    let expectedAt = performance.now()
    while (!signal.aborted) {
      if (performance.now() > expectedAt + standstillMs) this.#trouble = undefined
      try {
        await using server = await openServer(home)
        await this.#look(server)
      } catch {
        this.#trouble = undefined
      }
      const pauseMs = this.#trouble ? lookAgainMs : lookMs
      expectedAt = performance.now() + pauseMs
      await sleep(pauseMs, undefined, { signal }).catch(() => {})
    }
  }

  /** Brings back at once a router that is down: at the start, and when the engine is back. */
  async settle(server: OpenServer): Promise<void> {
    const { host, config, identity } = server
    const trouble = await routerTrouble(host.docker, routerContainer(host.directory, config, identity))
    // That it hangs is not seen by one look.
    if (trouble && trouble.kind !== 'silent') await this.#mend(server, trouble)
  }

  async #look(server: OpenServer): Promise<void> {
    const { host, config, identity } = server
    const wanted = routerContainer(host.directory, config, identity)
    await host.docker.system.ping({ timeoutMs: standstillMs })
    const begin = performance.now()
    const trouble = await routerTrouble(host.docker, wanted)
    if (!trouble) {
      this.#trouble = undefined
      return
    }
    if (this.#trouble?.kind !== trouble.kind) this.#trouble = { kind: trouble.kind, since: begin }
    const now = performance.now()
    if (now - this.#trouble.since < patienceOf(trouble) || now < this.#notBefore) return
    await this.#mend(server, trouble)
  }

  async #mend({ host, config, identity }: OpenServer, trouble: RouterTrouble): Promise<void> {
    const { log, onMended, signal } = this.#options
    try {
      const wanted = routerContainer(host.directory, config, identity)
      const done = await mendRouter(host.docker, wanted, { hangs: trouble.kind === 'silent' })
      for (const line of done) log(`the router: ${line}`)
      this.#trouble = undefined
      this.#said = ''
      if (trouble.kind === 'silent') this.#restarted()
      else this.#failures = 0
      if (done.length > 0) onMended()
    } catch (error) {
      // Whoever is at it has it back in a moment, or dies, which frees the lock.
      if (signal.aborted || (error instanceof MypaasError && error.code === 'locked')) return
      this.#pause()
      this.#say(`the router can't be brought back: ${error instanceof Error ? error.message : String(error)}`)
    }
  }

  /** A restart costs everybody their open connections: it must not become a habit. */
  #restarted(): void {
    const now = performance.now()
    if (now - this.#restartedAt < helpedMs) this.#pause()
    else this.#failures = 0
    this.#restartedAt = now
  }

  #pause(): void {
    this.#failures += 1
    this.#notBefore = performance.now() + Math.min(longestPauseMs, 2_000 * 2 ** this.#failures)
  }

  #say(line: string): void {
    if (line !== this.#said) this.#options.log(line)
    this.#said = line
  }
}

function patienceOf(trouble: RouterTrouble): number {
  const isRestarting = trouble.kind === 'down' && trouble.state === 'restarting'
  return isRestarting ? restartingPatienceMs : patienceMs[trouble.kind]
}
