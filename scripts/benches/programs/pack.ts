/** Packs a directory with one of the packers, to a reader that only counts. Prints milliseconds and peak memory. */
import { readdirSync } from 'node:fs'
import { readContext } from '../../../src/context/index.ts'

const [packer = '', directory = ''] = process.argv.slice(2)

const packers: Record<string, () => Promise<number>> = {
  async mypaas() {
    let length = 0
    for await (const part of (await readContext(directory)).tar({ reuse: true })) length += part.length
    return length
  },
  async 'node-tar'() {
    const name = 'tar'
    const { create } = (await import(name)) as { create(options: object, files: string[]): AsyncIterable<Uint8Array> }
    let length = 0
    for await (const part of create({ cwd: directory, sync: false, portable: true }, readdirSync(directory)))
      length += part.length
    return length
  },
}

const started = performance.now()
const bytes = await packers[packer]?.()
const ms = performance.now() - started
console.log(JSON.stringify({ ms, bytes, rssMb: process.resourceUsage().maxRSS / 1024 }))
