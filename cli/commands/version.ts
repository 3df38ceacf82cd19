import { readFile } from 'node:fs/promises'
import type { CommandDef } from 'citty'
import { command } from '../command.ts'
import { print } from '../render.ts'

export const version: CommandDef = command({
  async run() {
    // The package's own file: two levels up from the sources, three from dist.
    for (const up of ['../../package.json', '../../../package.json']) {
      const text = await readFile(new URL(up, import.meta.url), 'utf8').catch(() => undefined)
      const found = text === undefined ? undefined : (JSON.parse(text) as { name?: string; version: string })
      if (found?.name === 'mypaas') return print(found.version)
    }
    throw new Error('package.json is missing')
  },
})
