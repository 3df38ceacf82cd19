import { createHmac } from 'node:crypto'
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
