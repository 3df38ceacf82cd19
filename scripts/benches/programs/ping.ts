/** Asks an engine `GET /_ping` again and again. Prints the median in microseconds. */
import { connect, type Socket } from 'node:net'
import { Docker } from '../../../src/docker/index.ts'

const [client = '', socketPath = '', count = '2000'] = process.argv.slice(2)

const clients: Record<string, () => Promise<() => Promise<unknown>>> = {
  async mypaas() {
    const docker = new Docker({ host: `unix://${socketPath}` })
    return () => docker.system.ping()
  },
  async socket() {
    const socket = connect(socketPath)
    await new Promise((resolve) => socket.once('connect', resolve))
    return () => pingOn(socket)
  },
  async dockerode() {
    const name = 'dockerode'
    const { default: Dockerode } = (await import(name)) as {
      default: new (options: object) => { ping(): Promise<unknown> }
    }
    const docker = new Dockerode({ socketPath })
    return () => docker.ping()
  },
  async 'node-sdk'() {
    const name = '@docker/node-sdk'
    type Client = { systemPing(): Promise<unknown> }
    const { DockerClient } = (await import(name)) as { DockerClient: { fromDockerHost(host: string): Promise<Client> } }
    const docker = await DockerClient.fromDockerHost(`unix:${socketPath}`)
    return () => docker.systemPing()
  },
}

/** The least that a client must do: write the request, find the answer's end. */
function pingOn(socket: Socket): Promise<void> {
  return new Promise((resolve, reject) => {
    let text = ''
    const onData = (bytes: Buffer): void => {
      text += bytes.toString('latin1')
      const end = text.indexOf('\r\n\r\n')
      if (end < 0) return
      const length = /content-length: (\d+)/i.exec(text)?.[1]
      const isWhole = length === undefined ? text.endsWith('\r\n0\r\n\r\n') : text.length >= end + 4 + Number(length)
      if (!isWhole) return
      socket.off('data', onData).off('error', reject)
      resolve()
    }
    socket.on('data', onData).on('error', reject)
    socket.write('GET /_ping HTTP/1.1\r\nHost: docker\r\n\r\n')
  })
}

const ping = await clients[client]?.()
if (!ping) throw new Error(`There is no client ${client}`)
const times: number[] = []
for (let round = 0; round < Number(count) + 200; round++) {
  const started = performance.now()
  await ping()
  // The first ones warm up.
  if (round >= 200) times.push((performance.now() - started) * 1000)
}
times.sort((a, b) => a - b)
console.log(JSON.stringify({ us: times[Math.floor(times.length / 2)] }))
process.exit()
