import { randomBytes } from 'node:crypto'
import type { TestContext } from 'node:test'
import { busyboxEntries } from '../../scripts/busybox.ts'
import { rootfs } from '../../scripts/rootfs.ts'
import { type ContainerConfig, Docker, NotFoundError } from '../../src/docker/index.ts'

/** What the tests of one file share: a client of the real engine, and a busybox image of their own. */
export type Bench = {
  docker: Docker
  image: string
  /** The engine is Podman, which has words of its own for some things. */
  podman: boolean
  /** An image's name as the engine lists it. */
  listed(name: string): string
  /** A name that nobody else uses. */
  unique(what: string): string
  /** On all that is made here, so that prunes touch nothing else. */
  label: string
  /** Makes a container, without network unless it says otherwise, and removes it when the test ends. */
  container(t: Undo, config?: ContainerConfig): Promise<string>
  /** A container that runs until it is stopped. */
  running(t: Undo, config?: ContainerConfig): Promise<string>
  close(): Promise<void>
}

/** Where to say what is to be done when the test ends. */
type Undo = Pick<TestContext, 'after'>

export async function bench(file: string): Promise<Bench> {
  const docker = new Docker()
  const run = `${file}-${randomBytes(4).toString('hex')}`
  const label = `mypaas.test.run=${run}`
  const image = `mypaas-test-docker/busybox:${run}`
  const entries = [{ kind: 'directory', path: '/tmp', mode: 0o1777 } as const, ...(await busyboxEntries())]
  const [repo = '', tag = ''] = image.split(':')
  const made = await docker.images.import(rootfs(entries), { repo, tag, changes: ['ENV PATH=/bin', 'CMD ["sh"]'] })
  const podman = (await docker.system.version()).Components?.some(({ Name }) => Name === 'Podman Engine') ?? false
  if (podman) {
    // It calls what is imported `latest`, whatever the tag.
    await docker.images.tag(made.Id, { repo, tag })
    await docker.images.remove(`${repo}:latest`)
  }
  const container = async (t: Undo, config: ContainerConfig = {}) => {
    const [key = '', value = ''] = label.split('=')
    const Labels = { ...config.Labels, [key]: value, 'mypaas.test': '1' }
    const HostConfig = { NetworkMode: 'none', ...config.HostConfig }
    const { Id } = await docker.containers.create({ Image: image, ...config, HostConfig, Labels })
    t.after(() => removeContainer(docker, Id))
    return Id
  }
  let count = 0
  return {
    docker,
    image,
    podman,
    listed: (name) => (podman ? `docker.io/${name.includes('/') ? '' : 'library/'}${name}` : name),
    label,
    unique: (what) => `mypaas-test-${run}-${what}${++count}`,
    container,
    running: async (t, config) => {
      const id = await container(t, { Cmd: ['sleep', '600'], HostConfig: { Init: true }, ...config })
      await docker.containers.start(id)
      return id
    },
    close: async () => {
      try {
        await docker.images.remove(image, { force: true })
      } catch (error) {
        // A build of nothing but FROM may give this very image, and go with its test.
        if (!(error instanceof NotFoundError)) throw error
      } finally {
        docker.close()
      }
    },
  }
}

export async function removeContainer(docker: Docker, id: string): Promise<void> {
  await docker.containers.remove(id, { force: true, volumes: true }).catch((error: unknown) => {
    if (!(error instanceof NotFoundError)) throw error
  })
}

export async function text(bytes: AsyncIterable<Uint8Array>): Promise<string> {
  const parts: Uint8Array[] = []
  for await (const part of bytes) parts.push(part)
  return Buffer.concat(parts).toString()
}

/** What was written to each stream. */
export async function output(
  chunks: AsyncIterable<{ stream: 'stdout' | 'stderr'; data: Buffer }>,
): Promise<{ stdout: string; stderr: string }> {
  const texts = { stdout: '', stderr: '' }
  for await (const { stream, data } of chunks) texts[stream] += data.toString()
  return texts
}
