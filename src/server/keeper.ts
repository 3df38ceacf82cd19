import { stat } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { removeAbandonedCommands } from '../deploy/command.ts'
import { journalledServices, readJournal } from '../deploy/journal.ts'
import { placesOf, servicesFolder } from '../deploy/places.ts'
import { reconcile, reconcileAll } from '../deploy/reconcile.ts'
import type { Docker, EngineEvent } from '../docker/index.ts'
import { MypaasError } from '../errors.ts'
import { isServiceName } from '../service/names.ts'
import { serverDirectory } from './config.ts'
import { openServer } from './host.ts'
import { MemoryWatch } from './memory-watch.ts'
import { RouterKeeper } from './router-keeper.ts'

export type KeeperOptions = Readonly<{
  home: string
  /** Told what it does, in lines; what goes wrong again in the same way is told once. */
  log: (line: string) => void
  /** Ends it; a reconcile that is on tidies up. */
  signal: AbortSignal
}>

const lookMs = 2_000
const readmitMs = 5_000
/** No service is called so. */
const theCommands = 'the commands'
/** A command whose mypaas was killed has what its service mounts, and nobody else tells. */
const commandsMs = 10_000
const settleAgainMs = 10_000
/** A container that ended may be about to come back: `docker restart`, a restart policy, a deploy. */
const comesBackMs = 3_000
const longestPauseMs = 5 * 60_000
const maxAtOnce = 4

/**
 * Brings services to what their journals say, whoever left them otherwise: all of them at the start and when the engine
 * comes back; one whose deploy died on its way, or of which a container was stopped, paused or removed by hand, within
 * seconds.
 * What somebody else is at (the lock is taken) is theirs. A service that can't be mended is tried again, ever more rarely.
 */
export class Keeper {
  readonly #options: KeeperOptions
  /** When services are to be looked at. */
  readonly #due = new Map<string, number>()
  readonly #failures = new Map<string, number>()
  readonly #mending = new Map<string, Promise<void>>()
  readonly #said = new Map<string, string>()
  readonly #journals: WrittenJournals
  readonly #router: RouterKeeper
  #isSettled = false
  #readmitAt = 0
  #settleAt = 0
  #commandsAt = 0

  constructor(options: KeeperOptions) {
    this.#options = options
    // What could not be mended without it need not wait for its turn.
    this.#router = new RouterKeeper({ ...options, onMended: () => this.#tryAgain() })
    this.#journals = new WrittenJournals(serverDirectory(options.home))
  }

  /** Every service once. One that fails keeps no other from being looked after, and is tried again by {@link keep}. */
  async settle(): Promise<void> {
    const { home, log, signal } = this.#options
    try {
      await using server = await openServer(home)
      await this.#router.settle(server)
      const { reconciled, failed } = await reconcileAll(server.host, { emit: () => {}, signal })
      for (const { service, mended } of reconciled) {
        this.#succeeded(service)
        for (const step of mended) log(`${service}: ${step}`)
      }
      for (const { service, error } of failed) this.#failed(service, error)
      this.#isSettled = true
    } catch (error) {
      if (!signal.aborted) this.#say('all', `nothing could be looked after: ${messageOf(error)}`)
    }
  }

  /** Goes on until the signal, also while the engine is away. */
  async keep(): Promise<void> {
    await Promise.all([this.#keepServices(), this.#router.keep()])
  }

  async #keepServices(): Promise<void> {
    const { signal } = this.#options
    while (!signal.aborted) {
      try {
        await this.#watchEngine()
      } catch (error) {
        if (signal.aborted) break
        this.#isSettled = false
        this.#say('engine', `the engine is away: ${messageOf(error)}`)
      }
      await sleep(1_000, undefined, { signal }).catch(() => {})
    }
    await Promise.all(this.#mending.values())
  }

  /** Until the engine goes away, which ends its events. */
  async #watchEngine(): Promise<void> {
    const { home, log, signal } = this.#options
    await using server = await openServer(home)
    const { docker, server: id } = server.host
    const memory = new MemoryWatch(server.host)
    await docker.system.ping({ timeoutMs: 5_000, signal })
    // What happens during the look comes as an event.
    const since = new Date(Date.now() - 1_000)
    if (!this.#isSettled) {
      if (this.#said.delete('engine')) log('the engine is back')
      await this.settle()
    }
    // The event of a network that lost a container has none of the container's labels.
    const event = ['die', 'destroy', 'rename', 'pause', 'oom', 'disconnect']
    const filters = { type: ['container', 'network'], event }
    const gone = new AbortController()
    const looking = this.#lookNowAndThen(AbortSignal.any([signal, gone.signal]))
    try {
      for await (const event of docker.system.events({ since, once: true, filters, signal })) {
        if (event.Type === 'network') await this.#noteCut(docker, id, event)
        else {
          await memory.note(event).catch((error: unknown) => this.#say('memory', messageOf(error)))
          if (event.Action !== 'oom') this.#note(id, event.Actor.Attributes)
        }
      }
    } finally {
      gone.abort()
      await looking
    }
  }

  /** One that was cut from a network, unless it is being stopped, which takes it off all of them. */
  async #noteCut(docker: Docker, server: string, { Actor }: EngineEvent): Promise<void> {
    const container = Actor.Attributes['container']
    if (container === undefined) return
    const found = await docker.containers.inspect(container).catch(() => undefined)
    if (found?.State.Running) this.#note(server, found.Config.Labels ?? {})
  }

  #note(server: string, labels: Readonly<Record<string, string>>): void {
    const service = labels['mypaas.service']
    // Anybody can run a container that says so.
    if (labels['mypaas.server'] === server && service !== undefined && isServiceName(service))
      this.#lookAt(service, Math.max(comesBackMs, this.#pauseMs(service)))
  }

  async #lookNowAndThen(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.#look().catch((error: unknown) => {
        if (!signal.aborted) this.#say('look', `what is to be mended can't be seen: ${messageOf(error)}`)
      })
      await sleep(lookMs, undefined, { signal }).catch(() => {})
    }
  }

  async #look(): Promise<void> {
    for (const service of await this.#journals.find()) if (!this.#due.has(service)) this.#lookAt(service, 0)
    const now = performance.now()
    if (!this.#isSettled && now >= this.#settleAt) {
      this.#settleAt = now + settleAgainMs
      await this.settle()
    }
    for (const [service, at] of this.#due) {
      if (at > now || this.#mending.has(service) || this.#mending.size >= maxAtOnce) continue
      // Whatever happens to it from here on makes it due again.
      this.#due.delete(service)
      const mending = this.#mend(service).finally(() => this.#mending.delete(service))
      this.#mending.set(service, mending)
    }
    if (now >= this.#commandsAt && !this.#mending.has(theCommands)) {
      this.#commandsAt = now + commandsMs
      // Each may take its grace.
      const ending = this.#endCommands().finally(() => this.#mending.delete(theCommands))
      this.#mending.set(theCommands, ending)
    }
    if (now >= this.#readmitAt) {
      this.#readmitAt = now + readmitMs
      await this.#readmit()
    }
  }

  async #mend(service: string): Promise<void> {
    const { home, log, signal } = this.#options
    try {
      await using server = await openServer(home)
      const { mended } = await reconcile(server.host, service, { emit: () => {}, signal })
      this.#succeeded(service)
      for (const step of mended) log(`${service}: ${step}`)
    } catch (error) {
      if (!signal.aborted) this.#failed(service, error)
    }
  }

  async #endCommands(): Promise<void> {
    const { home, log, signal } = this.#options
    try {
      await using server = await openServer(home)
      for (const name of await removeAbandonedCommands(server.host)) log(`${name}: removed, nobody was at it any more`)
      this.#said.delete('commands')
    } catch (error) {
      if (!signal.aborted) this.#say('commands', `what commands left can't be cleared away: ${messageOf(error)}`)
    }
  }

  /** Replicas that answer again get requests again, also where nobody deploys. */
  async #readmit(): Promise<void> {
    const { home, log, signal } = this.#options
    try {
      await using server = await openServer(home)
      for (const service of await server.host.router.readmit({ signal }))
        log(`${service}: has replicas back that answer again`)
      this.#said.delete('readmit')
    } catch (error) {
      if (!signal.aborted) this.#say('readmit', `replicas that are up again stay without requests: ${messageOf(error)}`)
    }
  }

  #tryAgain(): void {
    for (const service of this.#failures.keys()) this.#lookAt(service, 0)
  }

  #lookAt(service: string, inMs: number): void {
    const at = performance.now() + inMs
    this.#due.set(service, Math.min(at, this.#due.get(service) ?? at))
  }

  #succeeded(service: string): void {
    this.#failures.delete(service)
    this.#said.delete(`service ${service}`)
  }

  #failed(service: string, error: unknown): void {
    // Somebody is at it, and may be for long, or may be killed at any moment.
    if (error instanceof MypaasError && error.code === 'locked') {
      this.#lookAt(service, lookMs)
      return
    }
    this.#failures.set(service, (this.#failures.get(service) ?? 0) + 1)
    this.#lookAt(service, this.#pauseMs(service))
    this.#say(`service ${service}`, `${service}: ${messageOf(error)}`)
  }

  #pauseMs(service: string): number {
    const failures = this.#failures.get(service) ?? 0
    return failures === 0 ? 0 : Math.min(longestPauseMs, lookMs * 2 ** failures)
  }

  #say(about: string, line: string): void {
    if (this.#said.get(about) !== line) this.#options.log(line)
    this.#said.set(about, line)
  }
}

/**
 * Services whose journals were written since the last look, or name a release to come: whoever wrote them is at it still,
 * or died. Looking costs next to nothing where none was written.
 */
class WrittenJournals {
  readonly #directory: string
  /** What each file was at the last look. */
  #seen: ReadonlyMap<string, string> | undefined
  #unfinished: readonly string[] = []
  #readAt = Number.NEGATIVE_INFINITY

  constructor(directory: string) {
    this.#directory = directory
  }

  async find(): Promise<readonly string[]> {
    const now = Date.now()
    // A journal is written by a rename, which changes the directory.
    const folder = await stat(servicesFolder(this.#directory)).catch(() => undefined)
    if (!folder) return []
    if (folder.mtimeMs <= this.#readAt - 2_000 && folder.mtimeMs <= now) return this.#unfinished
    const before = this.#seen
    const seen = new Map<string, string>()
    const written: string[] = []
    const unfinished: string[] = []
    for (const service of await journalledServices(this.#directory)) {
      const file = await stat(placesOf(this.#directory, service).journal).catch(() => undefined)
      if (!file) continue
      seen.set(service, `${file.ino} ${file.mtimeMs}`)
      // Before the first look all were looked after.
      if (before && before.get(service) !== seen.get(service)) written.push(service)
      const journal = await readJournal(this.#directory, service).catch(() => undefined)
      if (journal?.next) unfinished.push(service)
    }
    this.#seen = seen
    this.#unfinished = unfinished
    this.#readAt = now
    return [...new Set([...written, ...unfinished])]
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
