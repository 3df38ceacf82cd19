import { text } from 'node:stream/consumers'
import type { CommandDef } from 'citty'
import { MypaasError } from '../../../src/errors.ts'
import { serverDirectory } from '../../../src/server/config.ts'
import { AuthorizedKeys, addKey, parseDate, removeKey, rightsOf } from '../../../src/server/keys.ts'
import { command } from '../../command.ts'
import { print, printJson, progress, table } from '../../render.ts'

export const add: CommandDef = command({
  args: {
    line: { type: 'positional', required: false, description: 'The public key: "ssh-ed25519 AAAA… name" (stdin)' },
    services: { type: 'string', valueHint: 'LIST', description: 'Only these services, with * for any letters (all)' },
    publish: {
      type: 'string',
      valueHint: 'LIST',
      description: 'Ports of the server that these services may publish: 127.0.0.1:5432,7000-7010/udp (none)',
    },
    expires: { type: 'string', valueHint: 'DATE', description: 'Good to the end of that day: 2027-01-31 (for ever)' },
    'read-only': { type: 'boolean', description: 'It may look, not deploy' },
    'own-layers': { type: 'boolean', description: 'Its builds share no results of commands with other services' },
  },
  async run({ args }) {
    if (args.expires !== undefined && parseDate(args.expires) === undefined) {
      throw new MypaasError(`--expires must be a date such as 2027-01-31, not ${args.expires}.`, { code: 'usage' })
    }
    const line = args.line ?? (process.stdin.isTTY ? '' : await text(process.stdin))
    const added = await addKey(serverDirectory(), {
      line: line.trim(),
      ...(args.services === undefined ? {} : { services: args.services.split(',').map((name) => name.trim()) }),
      ...(args.publish === undefined ? {} : { publish: args.publish.split(',').map((entry) => entry.trim()) }),
      ...(args.expires === undefined ? {} : { expires: args.expires }),
      ...(args['read-only'] ? { readOnly: true } : {}),
      ...(args['own-layers'] ? { ownLayers: true } : {}),
    })
    const rights = rightsOf(added, Date.now()).filter((text) => text !== '')
    progress(`It may this: ${rights.join(', ')}${added.ownLayers ? ', shares no layers' : ''}`)
    print(added.fingerprint)
  },
})

export const ls: CommandDef = command({
  args: { json: { type: 'boolean', description: 'Print them as JSON' } },
  async run({ args }) {
    const { keys, problems } = await new AuthorizedKeys(serverDirectory()).read()
    if (args.json) printJson({ keys, problems })
    else {
      const rows = keys.map((key) => [key.comment || '-', ...rightsOf(key, Date.now()), key.fingerprint])
      for (const line of table(rows)) print(line)
      if (keys.length === 0) progress('Nobody may push here yet: mypaas server key add "ssh-ed25519 AAAA… name"')
      for (const problem of problems) progress(`! authorized_keys: ${problem}`)
    }
    return problems.length === 0 ? 0 : 1
  },
})

export const rm: CommandDef = command({
  args: { which: { type: 'positional', required: true, description: 'Its fingerprint, or its comment' } },
  async run({ args }) {
    const key = await removeKey(serverDirectory(), args.which)
    print(`${key.fingerprint} ${key.comment}`.trim())
  },
})
