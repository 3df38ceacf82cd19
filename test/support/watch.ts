import type { Docker } from '../../src/docker/index.ts'

export type ContainerEvent = Readonly<{ action: 'start' | 'die'; name: string; at: string }>

export interface Watch extends AsyncDisposable {
  /** Ends it. `most`: how many containers ran at the same time, at most; `events` in their order. */
  stop(): Promise<{ most: number; events: readonly ContainerEvent[] }>
}

/** Follows the starts and ends of the containers that have all these labels (`key=value`), as the engine tells them. */
export async function watchContainers(docker: Docker, label: readonly string[]): Promise<Watch> {
  const running = await docker.containers.list({ filters: { label, status: ['running'] } })
  const since = new Date()
  const filters = { type: ['container'], event: ['start', 'die'], label }
  const seen = new Map<string, ContainerEvent>()
  const read = async (options: { since: Date | string; until?: Date; signal?: AbortSignal }) => {
    for await (const { Action, Actor, at } of docker.system.events({ ...options, filters }))
      seen.set(`${at} ${Action} ${Actor.ID}`, {
        action: Action as 'start' | 'die',
        name: Actor.Attributes['name'] ?? Actor.ID,
        at,
      })
  }
  const following = new AbortController()
  let broken: unknown
  const followed = read({ since, signal: following.signal }).catch((error: unknown) => {
    if (!following.signal.aborted) broken = error
  })
  return {
    async stop() {
      following.abort()
      await followed
      if (broken) throw broken
      // The stream may have been a little behind: the engine still has the last events.
      await read({ since: [...seen.values()].at(-1)?.at ?? since, until: new Date(Date.now() + 1) })
      const events = [...seen.values()].sort((a, b) => (a.at < b.at ? -1 : a.at > b.at ? 1 : 0))
      return { most: mostAtOnce(running.length, events), events }
    },
    async [Symbol.asyncDispose]() {
      following.abort()
      await followed
    },
  }
}

function mostAtOnce(before: number, events: readonly ContainerEvent[]): number {
  let now = before
  let most = now
  for (const { action } of events) {
    now += action === 'start' ? 1 : -1
    most = Math.max(most, now)
  }
  return most
}
