import type { Commit } from '../context/commit.ts'
import type { Context } from '../context/index.ts'
import { limitBuild } from '../deploy/build-limits.ts'
import { deploy } from '../deploy/deploy.ts'
import type { Emit } from '../deploy/events.ts'
import type { BuildTerms, Host } from '../deploy/host.ts'
import { refuseUnlessCurrent } from '../deploy/operate.ts'
import type { Released } from '../deploy/release.ts'
import { MypaasError } from '../errors.ts'
import { parseSpec } from '../service/parse.ts'
import type { ServiceSpec } from '../service/spec.ts'
import { otherService } from './actions.ts'
import { type OpenServer, openServer } from './host.ts'
import type { AuthorizedKey } from './keys.ts'
import { PulledImages } from './pulled-images.ts'
import { limitedLogins } from './registry-rights.ts'
import { type DockerfileReader, refuseForeign, restrictedHost } from './restrict.ts'
import { mayDeploy } from './rights.ts'
import type { SlotLimits, Slots } from './slots.ts'

export type PushDeploy = Readonly<{
  /** The service that was signed for. */
  service: string
  /** The release that was expected; 0 for none, `undefined` for any. */
  expect: number | undefined
  /** As the client says. */
  commit?: Commit | undefined
  who: string
  emit: Emit
  signal: AbortSignal
  slots: Slots
  /** What was pushed, to be looked at when it is its turn. */
  context: () => Promise<Context>
  /** Told that it has to wait. */
  waits: () => void
  /** The key as it is now. @throws {MypaasError} `unauthorised` where there is none */
  keyNow: () => Promise<AuthorizedKey>
  /** Reads which images a Dockerfile names. */
  read?: DockerfileReader | undefined
}>

/** The Dockerfile of what was pushed, and what it is called. */
type PushedFile = Pick<Context, 'dockerfile' | 'dockerfileText'>

/**
 * Deploys what was pushed, as far as the key may when it has got a place to build; a limited key's build is held to the
 * images that were seen in its Dockerfile.
 * @throws {MypaasError} as `deploy`, and `unauthorised` when the key may not use what the directory uses
 */
export async function deployPushed(
  home: string,
  asked: AuthorizedKey,
  file: PushedFile,
  { service, expect, commit, who, emit, signal, slots, context: find, waits, keyNow, read }: PushDeploy,
): Promise<Released> {
  const limits = await limitsNow(home, file, { service, expect })
  const told = (before: number): void => {
    waits()
    emit({ type: 'queued', before })
  }
  const leave = await slots.enter(asked.fingerprint, limits, { signal, told })
  const roll = async (host: Host, also?: Emit): Promise<Released> =>
    deploy(host, await find(), {
      emit(event) {
        // The image is there.
        if (event.type === 'planned') leave()
        also?.(event)
        emit(event)
      },
      signal,
      who,
      from: `a push from ${who}`,
      commit,
      waitMs: 30_000,
      ifRelease: expect,
    })
  try {
    // That may have taken long: what key and config say now is what counts.
    const key = await keyNow()
    mayDeploy(key, service)
    await using server = await openServer(home)
    const spec = specOf(server, file, service)
    const { dockerfile: name, dockerfileText: dockerfile } = file
    if (key.services !== undefined)
      return await deployLimited(server, key, { spec, dockerfile, file: name, signal, read, roll })
    return await roll({ ...server.host, buildTerms: ownLayersOf(key) })
  } finally {
    leave()
  }
}

/** How many builds may be on, for what is not refused before it has to wait. */
async function limitsNow(
  home: string,
  file: PushedFile,
  { service, expect }: Pick<PushDeploy, 'service' | 'expect'>,
): Promise<SlotLimits> {
  await using server = await openServer(home)
  specOf(server, file, service)
  await refuseUnlessCurrent(server.host.directory, service, expect)
  const { builds, buildsPerKey } = server.config.server
  return { inAll: builds, perKey: buildsPerKey }
}

/** @throws {MypaasError} `directives` when it is of another service than was signed for */
function specOf({ host }: OpenServer, file: PushedFile, service: string): ServiceSpec {
  const spec = parseSpec(file.dockerfileText, { file: file.dockerfile, home: host.homeRules })
  if (spec.service !== service) throw otherService(spec.service, service)
  return spec
}

type Limited = Readonly<{
  spec: ServiceSpec
  dockerfile: string
  file: string
  signal: AbortSignal
  read: DockerfileReader | undefined
  roll: (host: Host, told: Emit) => Promise<Released>
}>

/**
 * What a limited key deploys: pulling what it is built on is part of its build, with the same limits, and what was pulled
 * for a push that is refused, or that takes too much, is removed again.
 */
async function deployLimited(
  { host, config }: OpenServer,
  key: AuthorizedKey,
  { roll, ...input }: Limited,
): Promise<Released> {
  const { buildDiskBytes: diskBytes, downloadHosts } = config.server
  const terms = { ...ownLayersOf(key), downloadHosts, diskBytes }
  const pulled = new PulledImages()
  using open = await limitBuild({ ...host, buildTerms: terms }, { signal: input.signal })
  let isTaken = false
  try {
    const { images } = await refuseForeign(host, config, key, { ...input, pulled, signal: open.signal })
    const own = {
      ...restrictedHost({ host, config }, key),
      registryAuth: limitedLogins(host, config, input.spec.service),
    }
    return await roll({ ...own, buildTerms: { ...terms, images, open } }, ({ type }) => {
      if (type === 'deploy') isTaken = true
    })
  } catch (error) {
    const excess = open.excess()
    const isRefused = error instanceof MypaasError && error.code === 'unauthorised'
    if (!isTaken || isRefused || excess) await pulled.remove(host.docker)
    throw isTaken ? error : (excess ?? error)
  }
}

function ownLayersOf(key: AuthorizedKey): BuildTerms {
  return key.ownLayers ? { ownLayers: true } : {}
}
