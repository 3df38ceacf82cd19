// Lists containers, runs a command, builds a directory, and follows what the image writes. Needs a Docker engine.
//   node --import tsx examples/containers.ts [DIRECTORY] [IMAGE]
import { readContext } from '../src/context/index.ts'
import { Docker } from '../src/docker/index.ts'

const [directory = 'examples/hello', image = 'busybox:stable'] = process.argv.slice(2)
const HostConfig = { NetworkMode: 'none', Memory: 64e6 }
await using docker = new Docker()

for (const { Names, Image, Status } of await docker.containers.list()) console.log(Names[0], Image, Status)

const { stdout, exitCode } = await docker.run(image, ['sort', '-r'], { stdin: 'a\nb\n', config: { HostConfig } })
console.log('sorted:', JSON.stringify(stdout.toString()), 'exit code:', exitCode)

const context = await readContext(directory)
for await (const event of docker.images.build(context.tar(), { tags: ['mypaas-example'] })) {
  if (event.type === 'step') console.log(event.status, event.name)
}

const { Id } = await docker.containers.create({ Image: 'mypaas-example', Cmd: ['seq', '3'], HostConfig })
try {
  const { exit } = await docker.containers.wait(Id, { condition: 'next-exit' })
  await docker.containers.start(Id)
  for await (const { stream, data } of docker.containers.logs(Id, { follow: true })) process[stream].write(data)
  console.log('ended with', (await exit).StatusCode)
} finally {
  await docker.containers.remove(Id, { force: true })
}
