import { mendRouter, routerTrouble } from '../router/care.ts'
import { ensureRouter, routerChange } from '../router/container.ts'
import type { OpenServer } from './host.ts'
import { routerContainer } from './host.ts'

/**
 * Brings networks, files and container of the router back where they are missing, not as the config says, or do not serve.
 * @returns what was mended, in lines
 */
export async function ensureServer({ host, config, identity }: OpenServer): Promise<readonly string[]> {
  const wanted = routerContainer(host.directory, config, identity)
  const trouble = await routerTrouble(host.docker, wanted)
  // One that is missing or down may be to become another.
  const runs = trouble && trouble.kind !== 'missing' && trouble.kind !== 'down'
  const mended = runs ? await mendRouter(host.docker, wanted, { waitMs }) : []
  // What the router does with routes can be another thing from its replacement on.
  if ((await routerChange(host.docker, wanted)).change === 'replaced') await host.router.renew()
  const done = await ensureRouter(host.docker, wanted)
  return [...mended, ...(done === 'unchanged' ? [] : [done])].map((what) => `router ${wanted.name}: ${what}`)
}

const waitMs = 60_000
