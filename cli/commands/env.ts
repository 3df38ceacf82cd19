import { buffer } from 'node:stream/consumers'
import type { CommandDef, StringArgDef } from 'citty'
import { lineNotUtf8 } from '../../src/encoding.ts'
import { MypaasError } from '../../src/errors.ts'
import { call } from '../../src/push/client.ts'
import { command } from '../command.ts'
import { remoteArgs, server, withRemote } from '../remote.ts'
import { print, printJson, progress } from '../render.ts'

const name = { type: 'positional', required: true, description: 'The name, as in # mypaas.env=NAME' } as const
const service: StringArgDef = { type: 'string', valueHint: 'NAME', description: 'Only for this service (all)' }

export const set: CommandDef = command({
  args: { server, name, service, ...remoteArgs },
  async run({ args }) {
    const again = `mypaas env set ${args.server} ${args.name}${args.service === undefined ? '' : ` --service ${args.service}`}`
    if (process.stdin.isTTY) progress(`The value of ${args.name}, then Ctrl-D:`)
    const bytes = await buffer(process.stdin)
    const strange = lineNotUtf8(bytes)
    if (strange !== undefined) {
      throw new MypaasError(
        `The value is not text: line ${strange} has bytes that are no UTF-8, and nothing was set.`,
        {
          code: 'usage',
          hint: `Give it in base64, for the app to decode: base64 -w0 FILE | ${again}`,
        },
      )
    }
    const value = bytes.toString().replace(/\r?\n$/, '')
    if (value === '') {
      throw new MypaasError('There is no value on stdin.', {
        code: 'usage',
        hint: `For example: printf %s "$VALUE" | ${again}`,
      })
    }
    const services = await change(args, 'env-set', value)
    progress(`${args.name} is set.${restart(services, args.server)}`)
  },
})

export const ls: CommandDef = command({
  args: { server, service, json: { type: 'boolean', description: 'Print the names as JSON' }, ...remoteArgs },
  async run({ args }) {
    const names = await withRemote(args, undefined, (remote) =>
      call(remote, 'env-ls', args.service === undefined ? {} : { service: args.service }, { reads: true }),
    )
    if (args.json) printJson(names)
    else for (const found of names as readonly string[]) print(found)
  },
})

export const rm: CommandDef = command({
  args: { server, name, service, ...remoteArgs },
  async run({ args }) {
    const services = await change(args, 'env-rm')
    const users =
      services.length === 0
        ? ''
        : ` ${services.join(', ')} ${runs(services)} on with it until a deploy or restart, and can't be started again without it.`
    progress(`${args.name} is removed.${users}`)
  },
})

function change(
  args: { server: string; name: string; service?: string | undefined; key?: string | undefined },
  action: string,
  body?: string,
): Promise<readonly string[]> {
  const given = { name: args.name, ...(args.service === undefined ? {} : { service: args.service }) }
  return withRemote(args, undefined, (remote) =>
    call(remote, action, given, body === undefined ? {} : { body }),
  ) as Promise<readonly string[]>
}

/** A container keeps the values that it was started with. */
function restart(services: readonly string[], server: string): string {
  if (services.length === 0) return ''
  const commands = services.map((service) => `mypaas restart ${server} ${service}`).join('; ')
  return ` ${services.join(', ')} ${runs(services)} with the older value until a deploy or restart: ${commands}`
}

function runs(services: readonly string[]): string {
  return services.length === 1 ? 'runs' : 'run'
}
