import { setTimeout as sleep } from 'node:timers/promises'
import { type ContainerInspect, type Docker, TimeoutError } from '../docker/index.ts'
import { secretMask } from './secrets.ts'

/** What the engine gives a check that names no time. */
const usualTimeoutMs = 30_000

const shortestPauseMs = 250
/** More of it would be no word about health. */
const maxOutputBytes = 4 * 1024 ** 2

/**
 * The HEALTHCHECK of a container's image, run in the container as the engine runs it, but from the start on and without
 * its interval: the engine comes for the first time when one has passed, which may be after five minutes. It goes on with
 * its own checks meanwhile.
 */
export class ImageCheck implements AsyncDisposable {
  passed = false
  /** How the latest one ended, without secrets: `exit code 1: connection refused`. */
  last: string | undefined
  readonly #stop = new AbortController()
  readonly #running: Promise<void>

  private constructor(docker: Docker, container: ContainerInspect, command: readonly string[]) {
    this.#running = this.#run(docker, container, command)
  }

  /** Begins to run it; `undefined` for an image that has none. */
  static of(docker: Docker, container: ContainerInspect): ImageCheck | undefined {
    const command = checkCommand(container)
    return command && new ImageCheck(docker, container, command)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort()
    await this.#running
  }

  async #run(docker: Docker, container: ContainerInspect, command: readonly string[]): Promise<void> {
    const mask = secretMask(container.Config)
    const timeoutMs = (container.Config.Healthcheck?.Timeout ?? 0) / 1e6 || usualTimeoutMs
    const { signal } = this.#stop
    let late = 0
    while (!signal.aborted && !this.passed) {
      const begin = performance.now()
      try {
        const { exitCode, stdout, stderr } = await docker.containers.exec(container.Id, command, {
          timeoutMs,
          maxOutputBytes,
          signal,
        })
        this.passed = exitCode === 0
        const output = mask(`${stdout}${stderr}`.trim()).slice(0, 500)
        this.last = `exit code ${exitCode}${output === '' ? '' : `: ${output}`}`
      } catch (error) {
        if (signal.aborted) return
        late += error instanceof TimeoutError ? 1 : 0
        this.last = error instanceof TimeoutError ? `no end within ${timeoutMs / 1000} s` : String(error)
      }
      // A check that costs much does not come more often than it takes. The engine ends none that is late: there are ever
      // fewer new ones, then.
      const tookMs = (performance.now() - begin) * 2 ** late
      if (!this.passed) await sleep(Math.max(shortestPauseMs, tookMs), undefined, { signal }).catch(() => {})
    }
  }
}

/** As the engine does, which knows of no `SHELL` of an image here, only of a container's. */
function checkCommand({ Config }: ContainerInspect): readonly string[] | undefined {
  const [kind, ...words] = Config.Healthcheck?.Test ?? []
  switch (kind) {
    case 'CMD':
      return words
    case 'CMD-SHELL':
      return [...(Config.Shell ?? ['/bin/sh', '-c']), ...words]
    default:
      return undefined
  }
}
