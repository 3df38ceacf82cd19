import { createHash, randomBytes, timingSafeEqual } from 'node:crypto'
import { readdir, rm, stat, statfs } from 'node:fs/promises'
import { join } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import type { Context } from '../context/index.ts'
import { MypaasError } from '../errors.ts'
import type { PushLimits } from '../push/manifest.ts'
import { type ManifestIndex, ManifestReader, parseIndex } from '../push/manifest-reader.ts'
import { formatMissing } from '../push/missing.ts'
import { readFrames } from '../push/packs.ts'
import type { PushStatement } from '../push/statement.ts'
import { formatBytes } from '../units.ts'
import { BlobStore } from './blobs.ts'
import { type AuthorizedKey, coversService } from './keys.ts'
import type { PushQuota } from './push-quota.ts'
import { pushedContext } from './pushed-context.ts'
import { storeSizes } from './store-sizes.ts'

/** The pushes that are on, and what pushes have brought, by service. */
export class Pushes {
  readonly #folder: string
  readonly #findQuota: () => Promise<PushQuota>
  /** As it was when a push began last. */
  #quota: PushQuota
  readonly #pushes = new Map<string, Push>()
  readonly #stores = new Map<string, OpenStore>()
  /** Services that pushes are about to begin for, once for each: they have the store already. */
  readonly #beginning: string[] = []
  /** Of services whose stores are being swept, or taken away from the disk. */
  readonly #sweeping = new Map<string, Promise<void>>()
  readonly #isKnown: (service: string) => Promise<boolean>
  /** Of the stores that are not open, as they were when a push began. */
  #sizes: ReadonlyMap<string, number> = new Map()

  /**
   * @param quota As it is at the moment: what the config says may change while pushes are on.
   * @param isKnown Whether there is such a service: what was pushed for one that never came to be goes after a day.
   */
  static async open(
    folder: string,
    quota: () => Promise<PushQuota>,
    isKnown: (service: string) => Promise<boolean> = async () => true,
  ): Promise<Pushes> {
    return new Pushes(folder, quota, await quota(), isKnown)
  }

  private constructor(
    folder: string,
    findQuota: () => Promise<PushQuota>,
    quota: PushQuota,
    isKnown: (service: string) => Promise<boolean>,
  ) {
    this.#folder = folder
    this.#findQuota = findQuota
    this.#quota = quota
    this.#isKnown = isKnown
  }

  /**
   * Begins a push: what is signed is known, what is missing can be asked.
   * @param indexText the manifest's index; its digest is what was signed
   * @returns the push and the token that its uploads carry
   * @throws {MypaasError} `context` when the manifest can't be accepted; `locked` when too many pushes are on
   */
  async begin(statement: PushStatement, key: AuthorizedKey, indexText: string): Promise<{ push: Push; token: string }> {
    this.#quota = await this.#findQuota()
    this.forgetIdle()
    const bytes = Buffer.from(indexText, 'latin1')
    if (createHash('sha256').update(bytes).digest('hex') !== statement.manifest) {
      throw new MypaasError('The manifest is not the one that was signed.', { code: 'context' })
    }
    const index = parseIndex(bytes, this.#quota.limits)
    const all = [...this.#pushes.values()]
    const own = all.filter((push) => push.key.fingerprint === key.fingerprint && !push.isOver)
    if (own.filter((push) => push.job !== undefined).length >= this.#quota.waitingPerKey) {
      throw new MypaasError(`${this.#quota.waitingPerKey} pushes of this key are on, or wait for their turn.`, {
        code: 'locked',
        hint: 'Wait until one of them is done.',
      })
    }
    const open = all.filter((push) => push.job === undefined)
    if (open.length >= this.#quota.inAll || own.filter((push) => push.job === undefined).length >= this.#quota.perKey) {
      throw new MypaasError('Too many pushes are on at this moment.', {
        code: 'locked',
        hint: 'Wait until one of them is done.',
      })
    }
    await this.forgetRemoved()
    const { service } = statement
    // From here to its end nobody closes or removes the store under it.
    this.#beginning.push(service)
    try {
      await this.#sweeping.get(service)
      const store = await this.store(service)
      await this.#refuseFull(store, index, service, key)
      const token = randomBytes(32).toString('base64url')
      const id = randomBytes(9).toString('base64url')
      const admit = (bytes: number): Promise<void> => this.#admit(store, bytes, service, key)
      const push = new Push({ id, token, statement, key, index, indexText, store, limits: this.#quota.limits, admit })
      await push.readManifest()
      this.#pushes.set(id, push)
      // One that began before this push was known knows nothing of what it names: only then is it said what is missing.
      await this.#sweeping.get(service)
      return { push, token }
    } finally {
      this.#beginning.splice(this.#beginning.indexOf(service), 1)
    }
  }

  /** The push of that id and token; `undefined` for none: it may have been forgotten. */
  find(id: string, token: string): Push | undefined {
    this.forgetIdle()
    const push = this.#pushes.get(id)
    if (!push?.hasToken(token)) return undefined
    push.touch()
    return push
  }

  /** As they are for a push that begins now. */
  async limits(): Promise<PushLimits> {
    return (await this.#findQuota()).limits
  }

  /** Whether the token is of the push that became this job. */
  isOfJob(job: string, token: string): boolean {
    return [...this.#pushes.values()].some((push) => push.job === job && push.hasToken(token))
  }

  store(service: string): Promise<BlobStore> {
    const known = this.#stores.get(service)
    if (known) return known.opened
    const opened = BlobStore.open(join(this.#folder, service))
    const store: OpenStore = { opened, bytes: () => 0, folder: join(this.#folder, service) }
    this.#stores.set(service, store)
    opened.then(
      (found) => {
        store.bytes = () => found.bytes
      },
      () => this.#stores.delete(service),
    )
    return opened
  }

  /** Lets go of what was removed from the disk, by a command that removed its service: only then is the room free. */
  async forgetRemoved(): Promise<void> {
    for (const [service, { opened, folder }] of this.#stores) {
      const store = await opened.catch(() => undefined)
      if (!store || (await isThere(folder)) || this.#isBusy(service)) continue
      if (this.#stores.get(service)?.opened !== opened) continue
      this.#stores.delete(service)
      await store.close()
    }
  }

  forgetIdle(): void {
    for (const [id, push] of this.#pushes) if (push.idleForMs() > this.#quota.idleMs) this.#pushes.delete(id)
  }

  /**
   * Takes away what nothing needs: of a service what its last manifests do not name, if that is much; of services that
   * nobody pushed to for 90 days, everything.
   * @param named so many bytes are known to be named: with few others beside them, nothing has to be looked at
   */
  async collectGarbage(services?: readonly string[], named = 0): Promise<void> {
    this.forgetIdle()
    const all =
      services ??
      (await readdir(this.#folder, { withFileTypes: true }).catch(() => [])).flatMap((entry) =>
        entry.isDirectory() ? [entry.name] : [],
      )
    for (const service of all) {
      if (this.#isBusy(service)) continue
      const folder = join(this.#folder, service)
      const used = await stat(join(folder, 'recent.json')).catch(() => stat(folder).catch(() => undefined))
      const keepMs = (await this.#isKnown(service)) ? unusedMs : unknownMs
      if (!used || this.#isBusy(service)) continue
      if (Date.now() - used.mtimeMs > keepMs) {
        const opened = this.#stores.get(service)?.opened
        this.#stores.delete(service)
        await this.#alone(service, async () => {
          await (await opened?.catch(() => undefined))?.close()
          await rm(folder, { recursive: true, force: true })
        })
        continue
      }
      const store = await this.store(service)
      if (store.bytes <= 2 * named + slackBytes) continue
      const keep = new Set<string>()
      let bytes = 0
      for (const text of await store.recent()) {
        bytes += namesOf(text, store, keep, this.#quota.limits)
        await setImmediate()
      }
      if (store.bytes > 2 * bytes + slackBytes && !this.#isBusy(service))
        await this.#alone(service, () => store.sweep(keep))
    }
  }

  /** Does something to a service's store that is to be over before a push begins with it. */
  async #alone(service: string, act: () => Promise<void>): Promise<void> {
    const before = this.#sweeping.get(service)
    const doing = act()
    const done = Promise.allSettled([before, doing]).then(() => {
      if (this.#sweeping.get(service) === done) this.#sweeping.delete(service)
    })
    this.#sweeping.set(service, done)
    await doing
  }

  /** Ends what is on; done when nothing is written any more. */
  async close(): Promise<void> {
    for (const push of this.#pushes.values()) {
      await push.interrupt()
      // That it could not be kept is said where its deploy ends.
      await push.kept().catch(() => {})
    }
    for (const { opened } of this.#stores.values()) await (await opened).close()
    this.#stores.clear()
  }

  #isBusy(service: string): boolean {
    if (this.#beginning.includes(service)) return true
    return [...this.#pushes.values()].some((push) => push.service === service && !push.isOver)
  }

  async #refuseFull(store: BlobStore, index: ManifestIndex, service: string, key: AuthorizedKey): Promise<void> {
    this.#sizes = await storeSizes(this.#folder)
    const { bavail, bsize } = await statfs(this.#folder)
    const free = bavail * bsize - this.#quota.reserveBytes
    const used = this.#used()
    if (index.bytes > Math.max(free, store.bytes) || used - store.bytes + index.bytes > this.#quota.storeBytes) {
      throw new MypaasError(
        `There is no room for a push of ${formatBytes(index.bytes)} on the server: ${formatBytes(Math.max(0, free))} are free, ${formatBytes(used)} of ${formatBytes(this.#quota.storeBytes)} for pushes are used.`,
        { code: 'failed', hint: 'Make room there, or raise [server] push_store in its config.' },
      )
    }
    const own = this.#used(sharing(key, service))
    if (own - store.bytes + index.bytes > this.#quota.serviceBytes) throw this.#noRoom(service, key, index.bytes)
  }

  /** Lets so many bytes come, making room for them if need be. @throws {MypaasError} `failed` when there is none */
  async #admit(store: BlobStore, bytes: number, service: string, key: AuthorizedKey): Promise<void> {
    const fits = (): boolean =>
      this.#used() + bytes <= this.#quota.storeBytes &&
      this.#used(sharing(key, service)) + bytes <= this.#quota.serviceBytes
    if (fits()) return
    // What only the pushes before name is there to spare sending it again.
    const keep = new Set<string>()
    for (const push of this.#pushes.values()) if (push.service === service) push.nameAll(keep)
    await this.#alone(service, () => store.sweep(keep))
    if (!fits()) throw this.#noRoom(service, key, bytes)
  }

  /** @param counts which services; all unless given */
  #used(counts: (service: string) => boolean = () => true): number {
    let used = 0
    for (const [service, bytes] of this.#sizes) if (counts(service) && !this.#stores.has(service)) used += bytes
    for (const [service, { bytes }] of this.#stores) if (counts(service)) used += bytes()
    return used
  }

  #noRoom(service: string, key: AuthorizedKey, bytes: number): MypaasError {
    const whose = key.services === undefined ? service : `the services of this key (${key.services.join(', ')})`
    const used = this.#used(sharing(key, service))
    return new MypaasError(
      `There is no room for ${formatBytes(bytes)} more of ${whose} on the server: ${formatBytes(used)} of ${formatBytes(this.#quota.serviceBytes)} for their pushes are used.`,
      {
        code: 'failed',
        hint: 'Leave out of the directory what need not travel (.dockerignore), remove services that are not needed any more (mypaas rm), or raise [server] push_store_service in the config of the server.',
      },
    )
  }
}

type OpenStore = { opened: Promise<BlobStore>; bytes: () => number; folder: string }

const unusedMs = 90 * 86_400_000
const unknownMs = 86_400_000
const slackBytes = 64 * 1024 ** 2

/** The services whose pushes count together: a key that may push under many names gets no more room by that. */
function sharing(key: AuthorizedKey, service: string): (other: string) => boolean {
  return key.services === undefined ? (other) => other === service : (other) => coversService(key, other)
}

async function isThere(folder: string): Promise<boolean> {
  return (await stat(folder).catch(() => undefined)) !== undefined
}

/** Adds to `keep` what a manifest names. @returns how many bytes that is */
function namesOf(indexText: string, store: BlobStore, keep: Set<string>, limits: PushLimits): number {
  let bytes = 0
  try {
    const index = parseIndex(Buffer.from(indexText, 'latin1'), limits)
    const reader = new ManifestReader(index, limits)
    for (const { digest, size } of index.segments) {
      reader.add(store.read(digest))
      if (!keep.has(digest)) bytes += size
      keep.add(digest)
    }
    for (const { digest, size } of reader.blobs) {
      if (!keep.has(digest)) bytes += size
      keep.add(digest)
    }
  } catch (error) {
    // A manifest that is no longer whole keeps what it still names.
    if (!(error instanceof MypaasError)) throw error
  }
  return bytes
}

/** One push on its way: segments of the manifest, then the blobs that it names. */
export class Push {
  readonly id: string
  readonly key: AuthorizedKey
  readonly statement: PushStatement
  /** Set when it was committed. */
  job: string | undefined
  /** Its deploy has ended. */
  isOver = false
  readonly #tokenHash: Buffer
  readonly #index: ManifestIndex
  readonly #indexText: string
  readonly #store: BlobStore
  readonly #limits: PushLimits
  readonly #admit: (bytes: number) => Promise<void>
  #reader: ManifestReader | undefined
  #lastUsed = performance.now()
  #receiving: { done: Promise<void>; cut: () => void } | undefined
  #budget: number
  #keeping: Promise<void> | undefined
  /** What it says to be missing while it has no manifest: nothing, as many as there are. */
  #restsWithout: string | undefined

  constructor(from: {
    id: string
    token: string
    statement: PushStatement
    key: AuthorizedKey
    index: ManifestIndex
    indexText: string
    store: BlobStore
    limits: PushLimits
    /** Makes room for so many bytes, or says that there is none. */
    admit?: (bytes: number) => Promise<void>
  }) {
    this.id = from.id
    this.key = from.key
    this.statement = from.statement
    this.#tokenHash = digest(from.token)
    this.#index = from.index
    this.#indexText = from.indexText
    this.#store = from.store
    this.#limits = from.limits
    this.#admit = from.admit ?? (async () => {})
    // Everything once, and what cut lines cost.
    this.#budget = 2 * (from.index.bytes + from.index.segments.reduce((sum, { size }) => sum + size, 0)) + slackBytes
  }

  get service(): string {
    return this.statement.service
  }

  hasToken(token: string): boolean {
    return timingSafeEqual(digest(token), this.#tokenHash)
  }

  touch(): void {
    this.#lastUsed = performance.now()
  }

  idleForMs(): number {
    const isOn = this.#receiving !== undefined || (this.job !== undefined && !this.isOver)
    return isOn ? 0 : performance.now() - this.#lastUsed
  }

  /** Adds the digests of all that it needs. */
  nameAll(names: Set<string>): void {
    if (this.#restsWithout !== undefined && !this.#reader && !this.isOver)
      namesOf(this.#indexText, this.#store, names, this.#limits)
    for (const { digest } of this.#index.segments) names.add(digest)
    for (const { digest } of this.#reader?.blobs ?? []) names.add(digest)
  }

  /** Bytes of what it names, each blob once. */
  get namedBytes(): number {
    return this.#reader?.blobs.reduce((sum, { size }) => sum + size, 0) ?? 0
  }

  /** What is missing, as it goes over the wire; `blobs` only once the manifest is whole. */
  missing(): { segments: string; blobs?: string } {
    const { segments } = this.#index
    const lacks = (list: readonly { digest: string }[]): string =>
      formatMissing(list.length, (at) => !this.#store.has(list[at]?.digest ?? ''))
    const blobs = this.#reader ? lacks(this.#reader.blobs) : this.#restsWithout
    return { segments: lacks(segments), ...(blobs === undefined ? {} : { blobs }) }
  }

  /**
   * Keeps what a body brings, blob by blob; whatever ends the body, what has come whole stays.
   * A body that is still on for this push is ended first: its line broke, and its sender asks anew.
   * @param cut ends the body's connection
   */
  async receive(kind: 'segments' | 'blobs', body: AsyncIterable<Uint8Array>, cut: () => void): Promise<void> {
    await this.interrupt()
    const blobs = kind === 'segments' ? this.#index.segments : this.#reader?.blobs
    if (!blobs || this.job) throw new MypaasError('It is not time for these files.', { code: 'usage' })
    let isCut = false
    const work = (async () => {
      let writing: Promise<unknown> = Promise.resolve()
      try {
        for await (const { indexes, data } of readFrames(body, blobs)) {
          if (isCut) return
          this.touch()
          this.#budget -= data.length
          if (this.#budget < 0) throw new MypaasError('More was sent than was announced.', { code: 'context' })
          // While one is written the next one comes in; no more than one.
          await writing
          await this.#admit(data.length)
          writing = this.#store.put(
            indexes.map((index) => blobs[index] as { digest: string; size: number }),
            data,
          )
          writing.catch(() => {})
        }
        await writing
      } finally {
        // What came whole is kept before anybody asks what is missing.
        await writing.catch(() => {})
      }
    })()
    const receiving = {
      done: work.catch(() => {}),
      cut: () => {
        isCut = true
        cut()
      },
    }
    this.#receiving = receiving
    try {
      await work
    } finally {
      if (this.#receiving === receiving) this.#receiving = undefined
      this.touch()
    }
    if (kind === 'segments') await this.readManifest()
  }

  /** Ends a body that is still coming, and waits until what it brought is kept. */
  async interrupt(): Promise<void> {
    this.#receiving?.cut()
    await this.#receiving?.done
  }

  /** Reads the manifest once all of its segments are there. @throws {MypaasError} `context` */
  async readManifest(): Promise<void> {
    const { segments } = this.#index
    if (this.#reader || !segments.every(({ digest }) => this.#store.has(digest))) return
    const reader = new ManifestReader(this.#index, this.#limits)
    for (const { digest } of segments) {
      reader.add(this.#store.read(digest))
      await setImmediate()
    }
    reader.finish()
    this.#reader = reader
  }

  /**
   * The context, when nothing is missing any more. That it outlives a power cut is seen to meanwhile ({@link kept}): a cut
   * before that ends the deploy too, and what the disk has lost by then counts as missing for the next push.
   */
  async context(): Promise<Context> {
    await this.interrupt()
    if (this.#restsWithout !== undefined) await this.readManifest()
    const reader = this.#reader
    if (!reader?.blobs.every(({ digest }) => this.#store.has(digest))) {
      throw new MypaasError('Files are still missing.', { code: 'usage', hint: 'Push again.' })
    }
    this.#keeping ??= this.#keep()
    this.#keeping.catch(() => {})
    return pushedContext(this.#index, reader, this.#store)
  }

  /** Lets go of the manifest until the context is asked for: of those who wait there may be many. */
  rest(): void {
    if (!this.#reader) return
    this.#restsWithout = formatMissing(this.#reader.blobs.length, () => false)
    this.#reader = undefined
  }

  /** Done when what the context consists of outlives a power cut, and is none of the garbage. */
  async kept(): Promise<void> {
    await this.#keeping
  }

  async #keep(): Promise<void> {
    await this.#store.sync()
    await this.#store.remember(this.#indexText)
  }

  /** The deploy is over: only the job's events can still be asked for. */
  end(): void {
    this.isOver = true
    this.rest()
    this.touch()
  }
}

function digest(token: string): Buffer {
  return createHash('sha256').update(token).digest()
}
