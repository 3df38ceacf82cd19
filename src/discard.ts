import { type Docker, NotFoundError } from './docker/index.ts'

/**
 * Removes a container, also one that runs, with its anonymous volumes, which nothing else could ever be told to use. Done
 * when it is gone, also when the engine was at it already, for a hand or for somebody who was killed.
 * @param options.timeoutMs How long the engine may be at it; 60 s unless given.
 */
export async function discardContainer(
  docker: Pick<Docker, 'containers'>,
  id: string,
  { timeoutMs = 60_000 }: { timeoutMs?: number } = {},
): Promise<void> {
  try {
    await docker.containers.remove(id, { force: true, volumes: true })
  } catch (error) {
    if (!/removal of container \S+ is already in progress/.test(String(error))) return unlessGone(error)
    const removal = await docker.containers.wait(id, { condition: 'removed', timeoutMs }).catch(unlessGone)
    await removal?.exit.catch(unlessGone)
  }
}

function unlessGone(error: unknown): undefined {
  if (error instanceof NotFoundError) return undefined
  throw error
}
