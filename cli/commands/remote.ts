import { resolve } from 'node:path'
import type { CommandDef } from 'citty'
import { MypaasError } from '../../src/errors.ts'
import { nextContact, Remotes } from '../../src/push/remotes.ts'
import { splitPins } from '../../src/push/server-key.ts'
import { formatAddress, parseAddress } from '../../src/push/transport.ts'
import { command } from '../command.ts'
import { print, printJson, progress, table } from '../render.ts'

const name = { type: 'positional', required: true, description: 'The name' } as const

export const add: CommandDef = command({
  args: {
    name,
    address: {
      type: 'positional',
      required: true,
      description: 'A domain, user@host, ssh://… or unix:/…; #SHA256:… behind it is the key that the server must have',
    },
    key: { type: 'string', valueHint: 'FILE', description: 'Always sign with this private key' },
    ca: { type: 'string', valueHint: 'FILE', description: 'Trust the certificates in this file, too' },
  },
  async run({ args }) {
    const remotes = await Remotes.open()
    const { server: address, pins = [] } = splitPins(args.address)
    if (pins.length > 1) throw new MypaasError('A server has one key: give one behind #.', { code: 'usage' })
    await remotes.add(args.name, {
      address,
      ...(args.key === undefined ? {} : { key: resolve(args.key) }),
      ...(args.ca === undefined ? {} : { ca: resolve(args.ca) }),
    })
    if (pins[0] !== undefined) {
      const at = formatAddress(parseAddress(address))
      const { before, names } = await remotes.expect(at, pins[0])
      const others = names.filter((name) => name !== args.name)
      const whose = others.length === 0 ? '' : ` That is so for ${others.join(', ')}, too: the address is the same.`
      if (before !== undefined) progress(`! The key of ${at} was ${before}, which is replaced by ${pins[0]}.${whose}`)
    }
    progress(`Push to it: mypaas push ${args.name} DIR`)
  },
})

export const ls: CommandDef = command({
  args: { json: { type: 'boolean', description: 'Print them as JSON' } },
  async run({ args }) {
    const remotes = await Remotes.open()
    const identities = remotes.identities()
    const all = remotes.names.map((name) => {
      const remote = { name, address: '', ...remotes.named(name) }
      return { ...remote, identity: identities.get(formatAddress(parseAddress(remote.address))) }
    })
    if (args.json) printJson(all)
    else
      for (const line of table(all.map(({ name, address, identity }) => [name, address, identity ?? '']))) print(line)
  },
})

export const rm: CommandDef = command({
  args: { name },
  run: async ({ args }) => (await Remotes.open()).remove(args.name),
})

export const forget: CommandDef = command({
  args: { server: { type: 'positional', required: true, description: 'Its name or address' } },
  async run({ args }) {
    const addresses = await (await Remotes.open()).forget(args.server)
    progress(`Forgotten: ${addresses.join(', ')}; ${nextContact}`)
  },
})
