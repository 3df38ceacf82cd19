import { ensureRouter } from '../router/container.ts'
import type { OpenServer } from './host.ts'
import { routerContainer } from './host.ts'

/** Brings networks, files and container of the router back where they are missing or not as the config says. @returns what was mended, in lines */
export async function ensureServer({ host, config, identity }: OpenServer): Promise<readonly string[]> {
  const wanted = routerContainer(host.directory, config, identity)
  const done = await ensureRouter(host.docker, wanted)
  return done === 'unchanged' ? [] : [`router ${wanted.name}: ${done}`]
}
