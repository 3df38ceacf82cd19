import { createHmac } from 'node:crypto'
import { masker } from '../masks.ts'
import { specFromLabels } from '../service/labels.ts'
import type { ServiceSpec } from '../service/spec.ts'
import type { Host } from './host.ts'

/**
 * What can be kept of a service's secrets: a keyed hash of each, by which a later deploy can say which ones changed. The
 * key stays on the server, so a hash tells nothing about a value, nor whether two services have the same.
 */
export function secretMarks(
  host: Pick<Host, 'markKey'>,
  spec: ServiceSpec,
  values: Readonly<Record<string, string>>,
): Readonly<Record<string, string>> {
  const marks: Record<string, string> = {}
  for (const { key, value } of spec.env) {
    if (value !== undefined || !Object.hasOwn(values, key)) continue
    marks[key] = markOf(host, spec.service, key, values[key] ?? '')
  }
  return marks
}

export function markOf({ markKey }: Pick<Host, 'markKey'>, service: string, key: string, secret: string): string {
  return createHmac('sha256', markKey).update(`${service}\0${key}\0${secret}`).digest('hex').slice(0, 16)
}

/** The names of secrets that differ between two releases, and of those that only one of them has. */
export function changedSecrets(
  before: Readonly<Record<string, string>>,
  now: Readonly<Record<string, string>>,
): readonly string[] {
  const keys = [...new Set([...Object.keys(before), ...Object.keys(now)])]
  return keys.filter((key) => before[key] !== now[key]).sort()
}

/**
 * Takes the secrets of a container out of text that it wrote itself: an app may print its password when it fails. They
 * are the variables that its image's spec has no value for.
 */
export function secretMask(config: {
  Env?: readonly string[] | null
  Labels?: Readonly<Record<string, string>> | null
}): (text: string) => string {
  const keys = new Set(specOf(config.Labels ?? {})?.env.flatMap(({ key, value }) => (value === undefined ? [key] : [])))
  return masker(
    (config.Env ?? []).flatMap((variable) => {
      const at = variable.indexOf('=')
      return keys.has(variable.slice(0, at)) ? [variable.slice(at + 1)] : []
    }),
  )
}

/** The values of the secrets that a service gets: what a build may print of them (a file that was copied) is masked. */
export function secretValues(host: Pick<Host, 'secrets' | 'secretsFrom'>, spec: ServiceSpec): readonly string[] {
  const values = host.secrets(spec.service, host.secretsFrom)
  return spec.env.flatMap(({ key, value }) => (value === undefined && values[key] !== undefined ? [values[key]] : []))
}

/** A container of a release whose spec can't be read any more has none to go by. */
function specOf(labels: Readonly<Record<string, string>>): ServiceSpec | undefined {
  try {
    return specFromLabels(labels)
  } catch {
    return undefined
  }
}
