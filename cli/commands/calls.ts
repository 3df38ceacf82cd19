import type { BooleanArgDef, CommandDef, StringArgDef } from 'citty'
import type { DeployEvent } from '../../src/deploy/events.ts'
import type { Preview } from '../../src/deploy/preview.ts'
import type { ReleaseInfo } from '../../src/deploy/releases.ts'
import { MypaasError } from '../../src/errors.ts'
import { call } from '../../src/push/client.ts'
import type { ServiceStatus } from '../../src/server/status.ts'
import { command } from '../command.ts'
import { confirm } from '../confirm.ts'
import { interruptible } from '../interrupt.ts'
import { releaseNumber } from '../operate.ts'
import { remoteArgs, server, withRemote } from '../remote.ts'
import { print, printJson, renderer } from '../render.ts'

const name = { type: 'positional', required: true, description: 'The service' } as const
const changeArgs: { verbose: BooleanArgDef; json: BooleanArgDef; key: StringArgDef } = {
  verbose: { type: 'boolean', alias: 'v', description: 'Show every step of the plan' },
  json: { type: 'boolean', description: 'Print events as lines of JSON' },
  ...remoteArgs,
}
const readArgs: { json: BooleanArgDef; key: StringArgDef } = {
  json: { type: 'boolean', description: 'Print it as JSON' },
  ...remoteArgs,
}

type Args = { server: string; key?: string | undefined; json?: boolean | undefined; verbose?: boolean | undefined }

/** Asks a server for something that changes nothing. */
function ask<T>(args: Args, action: string, given: Record<string, string>, body?: string): Promise<T> {
  return interruptible(
    (signal) =>
      withRemote(args, signal, (remote) =>
        call(remote, action, given, { reads: true, signal, ...(body === undefined ? {} : { body }) }),
      ) as Promise<T>,
    { quiet: true },
  )
}

/** Has a server do something, and shows how it gets on. Ctrl-C leaves it to it. */
function change<T>(args: Args, action: string, given: Record<string, string>): Promise<T> {
  const show = renderer({ json: args.json === true, verbose: args.verbose === true, server: args.server })
  return interruptible(
    async (signal) => {
      try {
        return (await withRemote(args, signal, (remote) =>
          call(remote, action, given, { signal, onEvent: (event) => show.event(event as DeployEvent) }),
        )) as T
      } finally {
        show.end()
      }
    },
    { leaving: `If it had been asked for, it is on over there: mypaas status ${args.server}` },
  )
}

export const status: CommandDef = command({
  args: { server, ...readArgs },
  async run({ args }) {
    const services = await ask<readonly ServiceStatus[]>(args, 'status', {})
    const { showStatus } = await import('./server/status.ts')
    showStatus(services, { json: args.json === true, deploy: `mypaas push ${args.server} DIR` })
  },
})

export const releases: CommandDef = command({
  args: { server, name, ...readArgs },
  async run({ args }) {
    type Found = { releases: readonly ReleaseInfo[]; diskBytes: number }
    const found = await ask<Found>(args, 'releases', { service: args.name })
    const { showReleases } = await import('./server/releases.ts')
    showReleases(found, { json: args.json === true, back: `mypaas rollback ${args.server} ${args.name} [RELEASE]` })
  },
})

export const plan: CommandDef = command({
  args: {
    server,
    dir: { type: 'positional', required: true, description: 'The directory, or a Dockerfile in it' },
    ...readArgs,
  },
  async run({ args }) {
    const [{ openContext }, { parseSpec }, { anyHome }, { showPreview }] = await Promise.all([
      import('../context.ts'),
      import('../../src/service/parse.ts'),
      import('../../src/service/home.ts'),
      import('./server/deploy.ts'),
    ])
    const { dockerfileText } = await openContext(args.dir, new AbortController().signal)
    const { service } = parseSpec(dockerfileText, { home: anyHome })
    showPreview(await ask<Preview>(args, 'plan', { service }, dockerfileText), { json: args.json === true })
  },
})

export const rollback: CommandDef = command({
  args: {
    server,
    name,
    release: {
      type: 'positional',
      required: false,
      description: 'The release to go back to (the last that is another build)',
    },
    ...changeArgs,
  },
  async run({ args }) {
    const release = releaseNumber(args.release)
    await change(args, 'rollback', {
      service: args.name,
      ...(release === undefined ? {} : { release: String(release) }),
    })
  },
})

export const restart: CommandDef = command({
  args: { server, name, ...changeArgs },
  run: async ({ args }) => void (await change(args, 'restart', { service: args.name })),
})

export const scale: CommandDef = command({
  args: {
    server,
    scale: {
      type: 'positional',
      required: true,
      valueHint: 'NAME=N',
      description: 'The service and how many replicas: blog=3',
    },
    ...changeArgs,
  },
  async run({ args }) {
    const match = /^([^=]+)=(\d{1,4})$/.exec(args.scale)
    if (!match) {
      throw new MypaasError(`${args.scale} is not NAME=N.`, {
        code: 'usage',
        hint: `For example: mypaas scale ${args.server} blog=3`,
      })
    }
    await change(args, 'scale', { service: match[1] as string, replicas: match[2] as string })
  },
})

export const stop: CommandDef = command({
  args: { server, name, ...changeArgs },
  async run({ args }) {
    await change(args, 'stop', { service: args.name })
    if (!args.json)
      print(`${args.name} is stopped, until it is started or pushed: mypaas start ${args.server} ${args.name}`)
  },
})

export const start: CommandDef = command({
  args: { server, name, ...changeArgs },
  async run({ args }) {
    const { release } = await change<{ release: number }>(args, 'start', { service: args.name })
    if (!args.json) print(`${args.name} r${release} runs`)
  },
})

export const rm: CommandDef = command({
  args: {
    server,
    name,
    volumes: { type: 'boolean', description: 'Remove its directories and volumes, too' },
    yes: { type: 'boolean', alias: 'y', description: 'Do it without being asked' },
    ...changeArgs,
  },
  async run({ args }) {
    const what = args.volumes ? 'with all its data; its secrets stay' : 'its volumes and secrets stay'
    if (!args.yes) await confirm(`Remove the service ${args.name} of ${args.server} (${what})?`)
    const removed = await change<readonly string[]>(args, 'rm', {
      service: args.name,
      ...(args.volumes ? { volumes: 'yes' } : {}),
    })
    if (args.json) printJson(removed)
    else for (const line of removed) print(line)
  },
})
