import { createHmac } from 'node:crypto'
import { specFromLabels } from '../service/labels.ts'
import type { ServiceSpec } from '../service/spec.ts'
import type { Host } from './host.ts'

/**
 * What can be kept of a service's secrets: a keyed hash of each, by which a later deploy can say which ones changed. The
 * key stays on the server, so a hash tells nothing about a value, nor whether two services have the same.
 */
export function secretMarks(
  host: Pick<Host, 'markKey' | 'secrets'>,
  spec: ServiceSpec,
): Readonly<Record<string, string>> {
  const values = host.secrets(spec.service)
  const marks: Record<string, string> = {}
  for (const { key, value } of spec.env) {
    const secret = value === undefined ? values[key] : undefined
    if (secret !== undefined) {
      marks[key] = createHmac('sha256', host.markKey)
        .update(`${spec.service}\0${key}\0${secret}`)
        .digest('hex')
        .slice(0, 16)
    }
  }
  return marks
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
 * are the variables that its image's spec has no value for. Shorter ones than 6 characters would take words apart.
 */
export function secretMask(config: {
  Env?: readonly string[] | null
  Labels?: Readonly<Record<string, string>> | null
}): (text: string) => string {
  const keys = new Set(specOf(config.Labels ?? {})?.env.flatMap(({ key, value }) => (value === undefined ? [key] : [])))
  const values = (config.Env ?? []).flatMap((variable) => {
    const at = variable.indexOf('=')
    const value = variable.slice(at + 1)
    return keys.has(variable.slice(0, at)) && value.length >= 6 ? [value] : []
  })
  // In a URL or in JSON the same value may look different.
  const forms = new Set(
    values.flatMap((value) => [value, encodeURIComponent(value), JSON.stringify(value).slice(1, -1)]),
  )
  const longestFirst = [...forms].sort((a, b) => b.length - a.length)
  return (text) => longestFirst.reduce((masked, form) => masked.replaceAll(form, '•••'), text)
}

/** A container of a release whose spec can't be read any more has none to go by. */
function specOf(labels: Readonly<Record<string, string>>): ServiceSpec | undefined {
  try {
    return specFromLabels(labels)
  } catch {
    return undefined
  }
}
