import type { Context } from '../context/index.ts'
import { deploy } from '../deploy/deploy.ts'
import type { Emit } from '../deploy/events.ts'
import type { Host } from '../deploy/host.ts'
import { refuseUnlessCurrent } from '../deploy/operate.ts'
import type { Released } from '../deploy/release.ts'
import { parseSpec } from '../service/parse.ts'
import { otherService } from './actions.ts'
import type { BuildSlots } from './build-slots.ts'
import type { OpenServer } from './host.ts'
import type { AuthorizedKey } from './keys.ts'
import { type DockerfileReader, refuseForeign, restrictedHost } from './restrict.ts'

export type PushDeploy = Readonly<{
  /** The service that was signed for. */
  service: string
  /** The release that was expected; 0 for none, `undefined` for any. */
  expect: number | undefined
  who: string
  emit: Emit
  signal: AbortSignal
  slots: BuildSlots
  /** Reads which images a Dockerfile names. */
  read?: DockerfileReader | undefined
}>

/**
 * Deploys what was pushed, as far as the key may: it waits for a place to build, and a limited key's build is held to
 * the images that were seen in its Dockerfile.
 * @throws {MypaasError} as `deploy`, and `unauthorised` when the key may not use what the directory uses
 */
export async function deployPushed(
  server: OpenServer,
  key: AuthorizedKey,
  context: Context,
  { service, expect, who, emit, signal, slots, read }: PushDeploy,
): Promise<Released> {
  const spec = parseSpec(context.dockerfileText, { file: context.dockerfile, home: server.host.homeRules })
  if (spec.service !== service) throw otherService(spec.service, service)
  await refuseUnlessCurrent(server.host.directory, service, expect)
  const { builds, buildsPerKey } = server.config.server
  const leave = await slots.enter(
    key.fingerprint,
    { inAll: builds, perKey: buildsPerKey },
    { signal, told: (before) => emit({ type: 'queued', before }) },
  )
  try {
    const { dockerfile: file, dockerfileText: dockerfile } = context
    const host = await hostOf(server, key, { spec, dockerfile, file, signal, read })
    return await deploy(host, context, {
      emit(event) {
        // The image is there.
        if (event.type === 'planned') leave()
        emit(event)
      },
      signal,
      who,
      from: `a push from ${who}`,
      waitMs: 30_000,
      ifRelease: expect,
    })
  } finally {
    leave()
  }
}

/** The host as the key may use it for a push. */
async function hostOf(
  { host, config }: OpenServer,
  key: AuthorizedKey,
  input: Parameters<typeof refuseForeign>[3],
): Promise<Host> {
  const ownLayers = key.ownLayers ? { ownLayers: true } : {}
  if (key.services === undefined) return { ...host, buildTerms: ownLayers }
  const { images } = await refuseForeign(host, config, key, input)
  const { buildDiskBytes: diskBytes, downloadHosts } = config.server
  return { ...restrictedHost({ host, config }, key), buildTerms: { ...ownLayers, images, downloadHosts, diskBytes } }
}
