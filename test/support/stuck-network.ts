import { type Docker, ForbiddenError } from '../../src/docker/index.ts'

/**
 * Removes a network, if the engine can: dockerd 20.10 miscounts the endpoints of a network at times when containers come
 * and go on it at once. Then it refuses with "has active endpoints" though nothing is on it, until its next start, where
 * it logs "Fixing inconsistent endpoint_cnt". That is no leftover of ours.
 * @returns whether the network is gone
 */
export async function removeNetwork(docker: Docker, id: string): Promise<boolean> {
  try {
    await docker.networks.remove(id)
    return true
  } catch (error) {
    if (error instanceof ForbiddenError && (await isMiscounted(docker, id))) return false
    throw error
  }
}

/** No container, running or not, has the network. */
async function isMiscounted(docker: Docker, id: string): Promise<boolean> {
  const { Containers } = await docker.networks.inspect(id)
  if (Object.keys(Containers ?? {}).length > 0) return false
  return (await docker.containers.list({ all: true, filters: { network: [id] } })).length === 0
}
