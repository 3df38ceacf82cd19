import { setTimeout as sleep } from 'node:timers/promises'
import type { ContainerInspect, Docker } from '../docker/index.ts'
import type { ServiceSpec } from '../service/spec.ts'
import { ContainerEnded, explainExit, report } from './why.ts'

type Begin = Readonly<{ restarts: number; at: number }>

/** How a container ended, or that it was started again; `undefined` for one that is up since `begin`. */
export async function endOf(
  found: ContainerInspect,
  begin: Begin,
  { docker, spec }: Readonly<{ docker: Docker; spec: ServiceSpec }>,
): Promise<ContainerEnded | undefined> {
  const { Running, Restarting, StartedAt, FinishedAt } = found.State
  if (Running && !Restarting && found.RestartCount <= begin.restarts) return undefined
  const facts = await report(docker, found)
  const ranMs = Date.parse(FinishedAt) - Date.parse(StartedAt)
  const text = explainExit(facts, spec, (ranMs >= 0 ? ranMs : performance.now() - begin.at) / 1000)
  return new ContainerEnded(text.message, { hint: text.hint, report: facts })
}

const lookMs = 200

/** Containers that are asked for something: when one ends, whoever asks is told that, and not only that nothing came back. */
export class Lives {
  readonly #docker: Docker
  readonly #spec: ServiceSpec
  readonly #begins: ReadonlyMap<string, Begin>

  private constructor(docker: Docker, spec: ServiceSpec, begins: ReadonlyMap<string, Begin>) {
    this.#docker = docker
    this.#spec = spec
    this.#begins = begins
  }

  /** Watches from now on. @throws {ContainerEnded} when one has ended already */
  static async of(names: readonly string[], { docker, spec }: { docker: Docker; spec: ServiceSpec }): Promise<Lives> {
    const begins = new Map<string, Begin>()
    for (const name of names) {
      const { RestartCount } = await docker.containers.inspect(name)
      begins.set(name, { restarts: RestartCount, at: performance.now() })
    }
    const lives = new Lives(docker, spec, begins)
    await lives.check()
    return lives
  }

  /** @throws {ContainerEnded} when one has ended, or was started again */
  async check(): Promise<void> {
    for (const [name, begin] of this.#begins) {
      const found = await this.#docker.containers.inspect(name)
      const end = await endOf(found, begin, { docker: this.#docker, spec: this.#spec })
      if (end) throw end
    }
  }

  /**
   * Asks, and looks after the containers while that takes.
   * @throws {ContainerEnded} as soon as one has ended; `act` is told to stop then
   */
  async during<T>(act: (signal: AbortSignal) => Promise<T>, signal: AbortSignal | undefined): Promise<T> {
    const stop = new AbortController()
    const acting = act(signal ? AbortSignal.any([signal, stop.signal]) : stop.signal)
    try {
      for (;;) {
        const pause = new AbortController()
        const done = await Promise.race([
          acting.then((value) => ({ value })),
          sleep(lookMs, undefined, { signal: pause.signal }).catch(() => undefined),
        ])
        pause.abort()
        if (done) return done.value
        await this.check()
      }
    } finally {
      stop.abort()
    }
  }
}
