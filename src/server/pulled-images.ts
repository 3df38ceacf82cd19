import { type Docker, DockerError } from '../docker/index.ts'

/** Images that were pulled for one push, by the names that it gave them. */
export class PulledImages {
  readonly #ids = new Map<string, string>()

  add(image: string, id: string): void {
    this.#ids.set(image, id)
  }

  /** Removes those that nothing else uses; what cannot be removed stays. */
  async remove(docker: Docker): Promise<void> {
    for (const [image, id] of this.#ids) {
      try {
        const { Id } = await docker.images.inspect(image)
        if (Id === id) await docker.images.remove(image)
      } catch (error) {
        if (!(error instanceof DockerError)) throw error
      }
    }
    this.#ids.clear()
  }
}
