import { restart, rollback, scale } from '../deploy/again.ts'
import type { Emit } from '../deploy/events.ts'
import { previewDeploy } from '../deploy/preview.ts'
import { reconcile, removeService, startService, stopService } from '../deploy/reconcile.ts'
import { listReleases } from '../deploy/releases.ts'
import { MypaasError } from '../errors.ts'
import { parseSpec } from '../service/parse.ts'
import type { Arguments, Taken } from './arguments.ts'
import { changeConfig } from './change-config.ts'
import { servicesWithChangedSecrets } from './changed-secrets.ts'
import { parseConfig } from './config.ts'
import { refuseGrown, refuseLargeValue } from './config-limits.ts'
import { dropEmptyTable, setKey, tomlText, unsetKey } from './config-text.ts'
import { type OpenServer, secretsIn } from './host.ts'
import { type AuthorizedKey, coversService } from './keys.ts'
import { noteOlderRights } from './older-rights.ts'
import { refuseForeign, restrictedHost } from './restrict.ts'
import { serverStatus } from './status.ts'

/** What an action gets: a server that was opened for it, who wants it, and what was signed. */
export type ActionCall = Readonly<{
  server: OpenServer
  key: AuthorizedKey
  who: string
  args: Arguments
  /** What came with it, its digest checked. */
  body: string | undefined
  emit: Emit
  signal: AbortSignal
}>

/**
 * What the daemon checks before it does what a client asks for: a key that may only read gets only what `reads`, a limited
 * one only services of its own (where `service` is not needed the action looks for itself), and arguments are as they must
 * be.
 */
export type Terms = Readonly<{ reads: boolean }> & Taken

/** Something that a client can ask for by name. What `run` returns goes back as JSON, after the events that it emitted. */
export type Action = Terms &
  Readonly<{
    /** It changes the config, which is done by one at a time: keys take turns. */
    edits?: true
    run: (call: ActionCall) => Promise<unknown>
  }>

/** Every action that a client can ask for, by name. */
export const actions: Readonly<Record<string, Action>> = {
  status: {
    reads: true,
    needs: [],
    takes: [],
    run: async ({ server, key }) =>
      (await serverStatus(server.host, { usage: true })).filter(({ service }) => coversService(key, service)),
  },
  releases: {
    reads: true,
    needs: ['service'],
    takes: ['service'],
    run: ({ server, args }) => listReleases(server.host, serviceOf(args)),
  },
  plan: {
    reads: true,
    needs: ['service'],
    takes: ['service'],
    async run({ server, key, args, body, signal }) {
      const dockerfile = body ?? ''
      const spec = parseSpec(dockerfile, { home: server.host.homeRules })
      if (spec.service !== serviceOf(args)) throw otherService(spec.service, serviceOf(args))
      if (key.services === undefined) return previewDeploy(server.host, dockerfile)
      // A plan changes nothing, so it pulls nothing.
      await refuseForeign(server.host, server.config, key, { spec, dockerfile, signal })
      return previewDeploy(restrictedHost(server, key), dockerfile)
    },
  },
  rollback: {
    reads: false,
    needs: ['service'],
    takes: ['service', 'release'],
    run: ({ server, key, who, args, emit, signal }) =>
      rollback(hostFor(server, key), serviceOf(args), args.release, { emit, signal, who }),
  },
  restart: {
    reads: false,
    needs: ['service'],
    takes: ['service'],
    run: ({ server, key, who, args, emit, signal }) =>
      restart(hostFor(server, key), serviceOf(args), { emit, signal, who }),
  },
  scale: {
    reads: false,
    needs: ['service', 'replicas'],
    takes: ['service', 'replicas'],
    run: ({ server, key, who, args, emit, signal }) =>
      scale(hostFor(server, key), serviceOf(args), args.replicas ?? 0, { emit, signal, who }),
  },
  stop: {
    reads: false,
    needs: ['service'],
    takes: ['service'],
    run: ({ server, args, emit, signal }) => stopService(server.host, serviceOf(args), { emit, signal }),
  },
  start: {
    reads: false,
    needs: ['service'],
    takes: ['service'],
    run: ({ server, key, args, emit, signal }) => startService(hostFor(server, key), serviceOf(args), { emit, signal }),
  },
  reconcile: {
    reads: false,
    needs: ['service'],
    takes: ['service'],
    run: ({ server, key, args, emit, signal }) => reconcile(hostFor(server, key), serviceOf(args), { emit, signal }),
  },
  rm: {
    reads: false,
    needs: ['service'],
    takes: ['service', 'volumes'],
    run: ({ server, key, args, emit, signal }) =>
      removeService(hostFor(server, key), serviceOf(args), { emit, signal, volumes: args.volumes === true }),
  },
  'env-ls': {
    reads: true,
    needs: [],
    takes: ['service'],
    async run({ server, key, args }) {
      const service = args.service
      refuseShared(key, service, 'see')
      return Object.keys(
        (service === undefined ? server.config.env : server.config.services[service]?.env) ?? {},
      ).sort()
    },
  },
  'env-set': {
    reads: false,
    edits: true,
    needs: ['name'],
    takes: ['service', 'name'],
    async run({ server, key, args, body }) {
      refuseShared(key, args.service, 'change')
      if (body === undefined || body.includes('\0')) {
        throw new MypaasError('There is no value, or it has a zero byte in it.', { code: 'usage' })
      }
      refuseLargeValue(body)
      return editConfig(server, key, args, (text, table, name) => setKey(text, table, name, tomlText(body)))
    },
  },
  'env-rm': {
    reads: false,
    edits: true,
    needs: ['name'],
    takes: ['service', 'name'],
    run: async ({ server, key, args }) => {
      refuseShared(key, args.service, 'change')
      return editConfig(server, key, args, (text, table, name) => {
        const after = unsetThere(args, text, table, name)
        // What is left of a service's section goes with its last value; [env] stays.
        return after === text || table.length === 1 ? after : dropEmptyTable(after, table)
      })
    },
  },
}

/** @throws {MypaasError} `usage` when there is none */
function unsetThere({ service }: Arguments, text: string, table: readonly string[], name: string): string {
  const after = unsetKey(text, table, name)
  if (after !== text) return after
  const whose = service === undefined ? 'for all services' : `of ${service} alone`
  throw new MypaasError(`There is no ${name} ${whose}, so nothing was removed.`, {
    code: 'usage',
    hint: `See what there is: mypaas env ls SERVER${service === undefined ? '' : ` --service ${service}`}`,
  })
}

/** A server as a key may see it. */
export function hostFor(server: OpenServer, key: AuthorizedKey): OpenServer['host'] {
  return key.services === undefined ? server.host : restrictedHost(server, key)
}

export function serviceOf(args: Arguments): string {
  return args.service ?? ''
}

export function otherService(found: string, signed: string): MypaasError {
  return new MypaasError(`The Dockerfile is of ${found}, but the push is for ${signed}.`, { code: 'directives' })
}

/** The secrets that all services may ask for are not a limited key's business. */
function refuseShared(key: AuthorizedKey, service: string | undefined, wanted: 'see' | 'change'): void {
  if (service === undefined ? key.services === undefined : coversService(key, service)) return
  const [name = '*'] = key.services ?? []
  throw new MypaasError(`The key is limited to some services and may ${wanted} only secrets of theirs.`, {
    code: 'unauthorised',
    hint: `Add the service: --service ${name.includes('*') ? 'NAME' : name}`,
  })
}

/**
 * Changes one value in `[env]` or `[services.NAME.env]`, if the file is good after that.
 * @returns the services that run with another value of it now, until they are restarted
 */
async function editConfig(
  { host }: OpenServer,
  key: AuthorizedKey,
  { service, name = '' }: Arguments,
  edit: (text: string, table: readonly string[], name: string) => string,
): Promise<readonly string[]> {
  const config = await changeConfig(host.directory, async (before, file) => {
    const old = parseConfig(before, file)
    await noteOlderRights({ ...host, ...secretsIn(old) }, service)
    const text = edit(before, service === undefined ? ['env'] : ['services', service, 'env'], name)
    const after = parseConfig(text, file)
    await refuseGrown(host.directory, key, { before: old, after, textBefore: before, text, service })
    return text
  })
  // The value is set, whether or not the engine can be asked who has an older one.
  const older = await servicesWithChangedSecrets({ ...host, ...secretsIn(config) }).catch(() => [])
  return older
    .filter((found) => found.secrets.includes(name) && (service === undefined || found.service === service))
    .map((found) => found.service)
}
