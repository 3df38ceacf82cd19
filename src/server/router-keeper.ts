import { setTimeout as sleep } from 'node:timers/promises'
import { MypaasError } from '../errors.ts'
import { mendRouter, type RouterTrouble, routerTrouble } from '../router/care.ts'
import { type OpenServer, openServer, routerContainer } from './host.ts'
import { RouterPatience } from './router-patience.ts'

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
/**
 * Looks after the router as the {@link Keeper} does after services: one that was stopped, killed, removed, paused, renamed
 * or cut from its networks, or that accepts and does not answer, serves again within 10 s.
 */
export class RouterKeeper {
  readonly #options: RouterKeeperOptions
  readonly #patience = new RouterPatience()
  #said = ''

  constructor(options: RouterKeeperOptions) {
    this.#options = options
  }

  /** Until the signal; also while the engine is away, which is for others to tell. */
  async keep(): Promise<void> {
    const { home, signal } = this.#options
    let expectedAt = performance.now()
    while (!signal.aborted) {
      if (performance.now() > expectedAt + standstillMs) this.#patience.forget()
      try {
        await using server = await openServer(home)
        await this.#look(server)
      } catch {
        this.#patience.forget()
      }
      const pauseMs = this.#patience.isTroubled ? lookAgainMs : lookMs
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
    const toMend = this.#patience.see(trouble, { begin, end: performance.now() })
    if (trouble && toMend) await this.#mend(server, trouble)
  }

  async #mend({ host, config, identity }: OpenServer, trouble: RouterTrouble): Promise<void> {
    const { log, onMended, signal } = this.#options
    try {
      const wanted = routerContainer(host.directory, config, identity)
      const done = await mendRouter(host.docker, wanted, { hangs: trouble.kind === 'silent' })
      for (const line of done) log(`the router: ${line}`)
      this.#patience.mended(trouble.kind, performance.now())
      this.#said = ''
      if (done.length > 0) onMended()
    } catch (error) {
      // Whoever is at it has it back in a moment, or dies, which frees the lock.
      if (signal.aborted || (error instanceof MypaasError && error.code === 'locked')) return
      this.#patience.failed(performance.now())
      this.#say(`the router can't be brought back: ${error instanceof Error ? error.message : String(error)}`)
    }
  }

  #say(line: string): void {
    if (line !== this.#said) this.#options.log(line)
    this.#said = line
  }
}
