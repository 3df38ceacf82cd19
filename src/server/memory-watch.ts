import type { Host } from '../deploy/host.ts'
import { type Identity, identify } from '../deploy/identity.ts'
import { noteOutOfMemory } from '../deploy/memory.ts'
import type { EngineEvent } from '../docker/index.ts'

/** The engine tells of the want of memory and of the end of the process apart, in either order. */
const togetherMs = 5_000

/** Notes replicas that run out of memory: the engine forgets it with the next start of their containers. */
export class MemoryWatch {
  readonly #host: Host
  readonly #short = new Map<string, Readonly<{ at: number; identity: Identity }>>()
  #ended: Readonly<{ container: string; at: number; exitCode: number }> | undefined

  constructor(host: Host) {
    this.#host = host
  }

  async note({ Action, Actor, timeNano }: EngineEvent): Promise<void> {
    const at = timeNano / 1e6
    if (Action === 'oom') {
      const identity = await this.#identify(Actor.ID)
      if (!identity) return
      this.#short.set(Actor.ID, { at, identity })
      const ended = this.#ended?.container === Actor.ID && at - this.#ended.at < togetherMs ? this.#ended : undefined
      await this.#write(at, identity, ended?.exitCode)
    } else if (Action === 'die') {
      const exitCode = Number(Actor.Attributes['exitCode'])
      this.#ended = { container: Actor.ID, at, exitCode }
      const short = this.#short.get(Actor.ID)
      this.#short.delete(Actor.ID)
      if (short && at - short.at < togetherMs) await this.#write(at, short.identity, exitCode)
    }
  }

  /** Anybody can run a container that says to be one of ours. */
  async #identify(id: string): Promise<Identity | undefined> {
    const [found] = await this.#host.docker.containers.list({ all: true, filters: { id: [id] } })
    return found && identify(this.#host, found)
  }

  async #write(at: number, { service, release, replica }: Identity, exitCode: number | undefined): Promise<void> {
    const end = exitCode === undefined ? {} : { exitCode }
    const found = { at: new Date(at).toISOString(), release, replica, ...end }
    await noteOutOfMemory(this.#host.directory, service, found)
  }
}
