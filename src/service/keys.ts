import { distance } from '../nearest.ts'

/** The directives that there are, in the order of the documentation. */
export const directiveKeys: readonly string[] = [
  'service',
  'url',
  'volume',
  'env',
  'port',
  'publish',
  'scale',
  'healthcheck',
  'start_timeout',
  'grace',
  'maxcpu',
  'maxmem',
]

/** The directive that an unknown one was most likely meant to be: by its letters, or by what other tools call it. */
export function nearestKey(unknown: string): string {
  const written = unknown
    .slice(0, 40)
    .toLowerCase()
    .replace(/[^a-z]/g, '')
  const known = [...directiveKeys.map((key) => [key.replace('_', ''), key] as const), ...otherWords]
  const ranked = known.map(([word, key]) => ({ key, distance: distance(written, word) }))
  return ranked.reduce((best, next) => (next.distance < best.distance ? next : best)).key
}

/** Words that other tools use for the same thing. */
const otherWords: readonly (readonly [word: string, key: string])[] = [
  ...['name', 'app', 'appname', 'servicename'].map((word) => [word, 'service'] as const),
  ...['host', 'hostname', 'domain', 'domains', 'route'].map((word) => [word, 'url'] as const),
  ...['mount', 'mounts', 'storage', 'bind'].map((word) => [word, 'volume'] as const),
  ...['environment', 'secret', 'secrets', 'variable'].map((word) => [word, 'env'] as const),
  ...['expose', 'listen'].map((word) => [word, 'port'] as const),
  ...['ports', 'portmapping'].map((word) => [word, 'publish'] as const),
  ...['replicas', 'instances', 'rollout', 'safe', 'roll'].map((word) => [word, 'scale'] as const),
  ...['health', 'check', 'ready', 'readiness'].map((word) => [word, 'healthcheck'] as const),
  ...['timeout', 'starttime', 'startperiod', 'deploytimeout', 'bootwait', 'readytimeout'].map(
    (word) => [word, 'start_timeout'] as const,
  ),
  ...['stop', 'stoptimeout', 'stopgraceperiod', 'graceperiod', 'terminationgraceperiod'].map(
    (word) => [word, 'grace'] as const,
  ),
  ...['cpu', 'cpus', 'cpulimit'].map((word) => [word, 'maxcpu'] as const),
  ...['memory', 'mem', 'maxmemory', 'memorylimit', 'memlimit'].map((word) => [word, 'maxmem'] as const),
]
