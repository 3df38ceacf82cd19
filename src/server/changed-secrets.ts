import type { Host } from '../deploy/host.ts'
import { journalledServices, readJournal } from '../deploy/journal.ts'
import { observe } from '../deploy/observe.ts'
import { secretsFor } from '../deploy/secret-rights.ts'
import { NotFoundError } from '../docker/index.ts'
import type { ServiceSpec } from '../service/spec.ts'

/** What a container says of its variables, as `docker inspect` does. */
type Variables = readonly string[] | null | undefined

/** A service whose containers were started with other values of secrets than the config has now. */
export type ChangedSecrets = Readonly<{ service: string; secrets: readonly string[] }>

/**
 * The secrets of which containers have another value than the config, by name, sorted. A container keeps the values that
 * it was started with: the new ones come with the next deploy or restart.
 */
export function changedSecretsOf(
  { env }: Pick<ServiceSpec, 'env'>,
  containers: readonly Variables[],
  values: Readonly<Record<string, string>>,
): readonly string[] {
  const wanted = env.flatMap(({ key, value }) => (value === undefined ? [key] : []))
  return wanted
    .filter((key) => {
      const now = Object.hasOwn(values, key) ? `${key}=${values[key]}` : undefined
      return containers.some((variables) => {
        const started = variables?.find((variable) => variable.startsWith(`${key}=`))
        return started !== undefined && started !== now
      })
    })
    .sort()
}

/** Every service of this server that runs with older values, by name. Reads without a lock. */
export async function servicesWithChangedSecrets(host: Host): Promise<readonly ChangedSecrets[]> {
  const found: ChangedSecrets[] = []
  for (const service of await journalledServices(host.directory)) {
    const current = (await readJournal(host.directory, service).catch(() => undefined))?.current
    if (!current?.spec.env.some(({ value }) => value === undefined)) continue
    const { replicas } = await observe(host, service)
    const running = replicas.filter(({ release, state }) => release === current.release && state === 'running')
    const containers = await Promise.all(running.map(({ id }) => variablesOf(host, id)))
    const secrets = changedSecretsOf(current.spec, containers, secretsFor(host, service, current))
    if (secrets.length > 0) found.push({ service, secrets })
  }
  return found
}

async function variablesOf({ docker }: Pick<Host, 'docker'>, id: string): Promise<Variables> {
  try {
    return (await docker.containers.inspect(id)).Config.Env
  } catch (error) {
    if (error instanceof NotFoundError) return undefined
    throw error
  }
}
