/** Sends a directory to an engine as a build context. Prints milliseconds and peak memory. */
import { readdirSync } from 'node:fs'
import { readContext } from '../../../src/context/index.ts'
import { Docker } from '../../../src/docker/index.ts'

const [client = '', directory = '', socketPath = ''] = process.argv.slice(2)

const clients: Record<string, () => Promise<void>> = {
  async mypaas() {
    const context = await readContext(directory)
    await using docker = new Docker({ host: `unix://${socketPath}` })
    for await (const event of docker.images.build(context.tar({ reuse: true, builder: 'buildkit' }))) void event
  },
  async dockerode() {
    const name = 'dockerode'
    type Dockerode = { buildImage(context: object, options: object): Promise<NodeJS.ReadableStream> }
    const { default: Dockerode } = (await import(name)) as { default: new (options: object) => Dockerode }
    const docker = new Dockerode({ socketPath })
    // With `context`, dockerode would compress; `tar-fs`, which it brings along, makes the plain archive.
    const packer = 'tar-fs'
    const { default: tar } = (await import(packer)) as { default: { pack(directory: string, options: object): object } }
    const answer = await docker.buildImage(tar.pack(directory, { entries: readdirSync(directory) }), { t: 'x' })
    for await (const part of answer) void part
  },
}

const started = performance.now()
await clients[client]?.()
console.log(JSON.stringify({ ms: performance.now() - started, rssMb: process.resourceUsage().maxRSS / 1024 }))
process.exit()
