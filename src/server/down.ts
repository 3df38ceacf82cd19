import { homedir } from 'node:os'
import { keptReleases, removeImage } from '../deploy/image.ts'
import { journalledServices } from '../deploy/journal.ts'
import { observe, observedServices } from '../deploy/observe.ts'
import { placesOf } from '../deploy/places.ts'
import { stopContainer } from '../deploy/stop.ts'
import { discardContainer } from '../discard.ts'
import { takeLock } from '../lock.ts'
import { removeRouter } from '../router/container.ts'
import { openServer, routerContainer } from './host.ts'
import { removeUnit, unitName } from './unit.ts'

/**
 * Removes everything of this server from the engine: containers, images, router, networks. Volumes stay, and `~/_mypaas`
 * with config, keys and certificates.
 * @returns what was removed, in lines
 */
export async function removeServer(
  options: { home?: string; onProgress?: (message: string) => void } = {},
): Promise<string[]> {
  await using server = await openServer(options.home ?? homedir())
  const { host, config, identity } = server
  const removed: string[] = []
  // First: it would bring in order what is being taken away.
  const { instance } = config.server
  if (await removeUnit(instance)) removed.push(`unit ${unitName(instance)}`)
  const services = new Set([...(await journalledServices(host.directory)), ...(await observedServices(host))])
  for (const service of services) {
    await using _ = await takeLock(placesOf(host.directory, service).lock, {
      what: `the removal of ${service}`,
    })
    options.onProgress?.(`removing ${service}`)
    for (const { id, name } of (await observe(host, service)).replicas) {
      await stopContainer(host, id)
      await discardContainer(host.docker, id)
      removed.push(`container ${name}`)
    }
    for (const { image } of await keptReleases(host, service))
      if (await removeImage(host, image)) removed.push(`image ${image}`)
  }
  const router = routerContainer(host.directory, config, identity)
  options.onProgress?.(`removing the router ${router.name}`)
  await removeRouter(host.docker, router)
  return [...removed, `router ${router.name}`]
}
