import { MypaasError } from '../errors.ts'
import type { ServiceSpec } from '../service/spec.ts'
import { releaseToGoBackTo } from './builds.ts'
import { imageName } from './container.ts'
import type { Host } from './host.ts'
import { keptReleases, releaseImage, releaseSettings } from './image.ts'
import type { Journal } from './journal.ts'
import { journalOf, lockKnown } from './operate.ts'
import { type Released, type ReleaseOptions, type ReleaseRequest, rollOut } from './release.ts'
import type { SecretRights } from './secret-rights.ts'

/**
 * Makes an older release current again, without a build and with the same guarantees as a deploy. It gets a number of
 * its own; secrets are sampled anew.
 * @param release The release to go back to; unless given the last one that is another build than the current.
 * @throws {MypaasError} `usage` when there is no such release any more
 */
export async function rollback(
  host: Host,
  service: string,
  release: number | undefined,
  options: ReleaseOptions,
): Promise<Released> {
  await using _ = await lockKnown(host, service, `a rollback of ${service}`, options)
  const journal = await journalOf(host, service)
  const kept = (await keptReleases(host, service)).map((found) => found.release)
  const others = kept.filter((found) => found !== journal.current?.release)
  const wanted = release ?? (await releaseToGoBackTo(host, journal))
  if (wanted === undefined) {
    throw new MypaasError(
      others.length > 0
        ? `${service} has no release to go back to: all that are kept are the same build.`
        : `${service} has no release to go back to.`,
      { code: 'usage', hint: `To start it anew: mypaas server restart ${service}` },
    )
  }
  if (!kept.includes(wanted)) {
    throw new MypaasError(`The image of r${wanted} of ${service} is not kept.`, {
      code: 'usage',
      hint: others.length > 0 ? `There are ${others.map((found) => `r${found}`).join(', ')}.` : 'No older one is kept.',
    })
  }
  if (wanted === journal.current?.release) {
    throw new MypaasError(`r${wanted} is the current release of ${service}.`, {
      code: 'usage',
      hint: `To start it anew: mypaas server restart ${service}`,
    })
  }
  const noted = journal.previous?.find((found) => found.release === wanted)
  const older = noted ?? (await releaseSettings(host, service, wanted))
  // Awaited here: leaving the scope frees the lock.
  return await rollOutAgain(host, 'rollback', older, wanted, options)
}

/** Runs the current release anew, replicas replaced as in a deploy; secrets are sampled anew. */
export async function restart(host: Host, service: string, options: ReleaseOptions): Promise<Released> {
  await using _ = await lockKnown(host, service, `a restart of ${service}`, options)
  const current = await currentOf(host, service)
  return await rollOutAgain(host, 'restart', current, current.release, options)
}

/**
 * Changes the number of replicas until the next deploy, whose Dockerfile says again how many.
 * @throws {MypaasError} `usage` when the service does not scale
 */
export async function scale(host: Host, service: string, replicas: number, options: ReleaseOptions): Promise<Released> {
  await using _ = await lockKnown(host, service, `a change of scale of ${service}`, options)
  const current = await currentOf(host, service)
  const { spec, release } = current
  if ((spec.scale ?? 0) === 0) {
    throw new MypaasError(`${service} does not scale: there must never be two of it.`, {
      code: 'usage',
      hint: 'If there may be, set # mypaas.scale = 2 in its Dockerfile and deploy it.',
    })
  }
  if (replicas < 1 || replicas > 100) {
    throw new MypaasError(`${service} can have 1 to 100 replicas, not ${replicas}.`, {
      code: 'usage',
      hint: `To have none of it running: mypaas server stop ${service}`,
    })
  }
  const port = spec.publish.find(({ hostPort, hostPortEnd }) => hostPort !== undefined && hostPortEnd === undefined)
  if (replicas > 1 && port) {
    throw new MypaasError(`${service} publishes host port ${port.hostPort}, which only one replica can have.`, {
      code: 'usage',
      hint: 'Publish it without a host port, or let the router reach it by a URL.',
    })
  }
  return await rollOutAgain(host, 'scale', { ...current, spec: { ...spec, scale: replicas } }, release, options)
}

/** Looks for the image before a number is given away. */
async function rollOutAgain(
  host: Host,
  action: ReleaseRequest['action'],
  older: SecretRights & { spec: ServiceSpec },
  from: number,
  options: ReleaseOptions,
): Promise<Released> {
  await releaseImage(host, older.spec.service, from)
  return await rollOut(host, again(host, action, older, from), options)
}

function again(
  host: Host,
  action: ReleaseRequest['action'],
  older: SecretRights & { spec: ServiceSpec },
  from: number,
): ReleaseRequest {
  const { spec } = older
  return {
    action,
    spec,
    from: `r${from}`,
    rights: older,
    async provide(release) {
      const image = await releaseImage(host, spec.service, from)
      const repo = `${host.prefix}${spec.service}`
      await host.docker.images.tag(imageName(host.prefix, spec.service, from), { repo, tag: `r${release}` })
      return image
    },
  }
}

async function currentOf(host: Host, service: string): Promise<NonNullable<Journal['current']>> {
  const { current } = await journalOf(host, service)
  if (current) return current
  throw new MypaasError(`No release of ${service} was ever live here.`, { code: 'usage', hint: 'Deploy it first.' })
}
