import { resolve } from 'node:path'
import type { CommandDef } from 'citty'
import { Remotes } from '../../src/push/remotes.ts'
import { command } from '../command.ts'
import { print, printJson, progress, table } from '../render.ts'

const name = { type: 'positional', required: true, description: 'The name' } as const

export const add: CommandDef = command({
  args: {
    name,
    address: { type: 'positional', required: true, description: 'A domain, user@host, ssh://… or unix:/…' },
    key: { type: 'string', valueHint: 'FILE', description: 'Always sign with this private key' },
    ca: { type: 'string', valueHint: 'FILE', description: 'Trust the certificates in this file, too' },
  },
  async run({ args }) {
    const remotes = await Remotes.open()
    await remotes.add(args.name, {
      address: args.address,
      ...(args.key === undefined ? {} : { key: resolve(args.key) }),
      ...(args.ca === undefined ? {} : { ca: resolve(args.ca) }),
    })
    progress(`Push to it: mypaas push ${args.name} DIR`)
  },
})

export const ls: CommandDef = command({
  args: { json: { type: 'boolean', description: 'Print them as JSON' } },
  async run({ args }) {
    const remotes = await Remotes.open()
    const all = remotes.names.map((name) => ({ name, address: '', ...remotes.named(name) }))
    if (args.json) printJson(all)
    else for (const line of table(all.map((remote) => [remote.name, remote.address]))) print(line)
  },
})

export const rm: CommandDef = command({
  args: { name },
  run: async ({ args }) => (await Remotes.open()).remove(args.name),
})

export const forget: CommandDef = command({
  args: { server: { type: 'positional', required: true, description: 'Its name or address' } },
  run: async ({ args }) => (await Remotes.open()).forget(args.server),
})
