import { scratchImage } from './images.ts'
import type { World } from './world.ts'

/** Deploys that many small services, each with a URL: `s1`, `s2`, … @returns their directories */
export async function manyServices(w: World, count: number): Promise<string[]> {
  const base = await scratchImage(w.docker)
  const directories: string[] = []
  const queue = Array.from({ length: count }, (_, index) => `s${index + 1}`)
  const worker = async (): Promise<void> => {
    for (let name = queue.shift(); name !== undefined; name = queue.shift()) {
      const lines = [
        `# mypaas.service=${name}`,
        `# mypaas.url=http://${name}.test`,
        '# mypaas.scale=1',
        `FROM ${base}`,
        '',
      ]
      const directory = await w.service(name, { dockerfile: lines.join('\n') })
      directories.push(directory)
      await w.deploy(directory)
    }
  }
  await Promise.all(Array.from({ length: 4 }, worker))
  return directories
}

/** Deploys a directory. @returns milliseconds from the start of the command until the new release has all requests */
export async function timeToLive(w: World, directory: string): Promise<number> {
  const begin = performance.now()
  const running = w.spawnCli(['server', 'deploy', directory, '--json'])
  await running.seen(/"type":"live"/)
  const ms = performance.now() - begin
  const { code, output } = await running.result
  if (code !== 0) throw new Error(`The deploy of ${directory} exited with ${code}:\n${output}`)
  return ms
}
