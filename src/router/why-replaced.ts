import { isDeepStrictEqual } from 'node:util'
import type { ContainerConfig, ContainerInspect } from '../docker/index.ts'

/** A router as it is, or as it is to be: its container, and the text of the file that it read at its start. */
type Made<Container> = Readonly<{ container: Container; staticFile: string | undefined }>

/** Why a router is replaced by another, a sentence for each reason, in words of the config where it has some. */
export function whyReplaced(
  { container: found, staticFile: before }: Made<Pick<ContainerInspect, 'Config' | 'HostConfig'>>,
  { container: wanted, staticFile: after }: Made<ContainerConfig>,
): readonly string[] {
  const reasons = [
    ...(found.Config.Image === wanted.Image ? [] : [`another image: ${found.Config.Image} → ${wanted.Image}`]),
    ...differences(parsed(before), parsed(after)).map(inWords),
    ...portChanges(found.HostConfig.PortBindings, wanted.HostConfig?.PortBindings),
  ]
  return reasons.length > 0 ? [...new Set(reasons)] : ['another version of mypaas made it']
}

function parsed(text: string | undefined): unknown {
  try {
    return JSON.parse(text ?? '{}')
  } catch {
    return {}
  }
}

/** The paths of what is not the same in two trees: `entryPoints.web.http.sanitizePath`. */
function differences(before: unknown, after: unknown, path: readonly string[] = []): readonly string[] {
  if (isDeepStrictEqual(before, after)) return []
  if (!isTree(before) || !isTree(after)) return [path.join('.')]
  const keys = new Set([...Object.keys(before), ...Object.keys(after)])
  return [...keys].flatMap((key) => differences(before[key], after[key], [...path, key]))
}

function isTree(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function inWords(path: string): string {
  return words.find(([pattern]) => pattern.test(path))?.[1] ?? `traefik.yml: ${path}`
}

const words: readonly (readonly [pattern: RegExp, words: string])[] = [
  [
    /^entryPoints\..*\.(sanitizePath|encodeQuerySemicolons)$/,
    'paths and queries reach services as they were asked for',
  ],
  [/^entryPoints\..*\.middlewares$/, 'headers that only a proxy may set are taken from clients'],
  [/^entryPoints\..*\.aliasHeadersStrategy$/, 'underscore_headers: which names of headers reach services'],
  [/^entryPoints\..*\.forwardedHeaders/, 'trusted_ips: whose word about a client is taken'],
  [/^entryPoints\.tcp-/, 'tcp: ports for services that speak no http'],
  [/^metrics/, 'it counts requests, and tells who has its password'],
  [/^certificatesResolvers/, 'how it gets certificates'],
]

type Bindings = NonNullable<ContainerConfig['HostConfig']>['PortBindings']

function portChanges(before: Bindings, after: Bindings): readonly string[] {
  const published = (bindings: Bindings): readonly string[] =>
    Object.entries(bindings ?? {}).flatMap(([inside, list]) =>
      (list ?? []).map(({ HostIp, HostPort }) => {
        const address = HostIp ? `${HostIp.includes(':') ? `[${HostIp}]` : HostIp}:` : ''
        return `${address}${HostPort}/${inside.split('/')[1]}`
      }),
    )
  const [old, now] = [published(before), published(after)]
  return [
    ...now.filter((port) => !old.includes(port)).map((port) => `port ${port} is opened`),
    ...old.filter((port) => !now.includes(port)).map((port) => `port ${port} is closed`),
  ]
}
