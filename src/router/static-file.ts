import { type AcmeSettings, type RouterCertificates, type RouterSettings, routerPorts } from './config.ts'
import { entryMiddleware } from './entry-file.ts'

/** Traefik's static configuration; a change of it needs another router. */
export function staticFile(settings: RouterSettings, authorities: RouterCertificates['authorities'] = []): string {
  return JSON.stringify(
    {
      global: { checkNewVersion: false, sendAnonymousUsage: false },
      log: { level: 'INFO', noColor: true },
      api: { dashboard: false },
      // By routers, which tell what clients got: by services, each try of a request that is held counts as an error.
      metrics: {
        prometheus: {
          manualRouting: true,
          addEntryPointsLabels: false,
          addRoutersLabels: true,
          addServicesLabels: false,
          buckets: [0.01, 0.05, 0.1, 0.3, 1, 5],
        },
      },
      providers: {
        providersThrottleDuration: '100ms',
        file: { directory: '/etc/traefik/dynamic', watch: true },
      },
      entryPoints: {
        web: publicEntryPoint('web', settings),
        websecure: { ...publicEntryPoint('websecure', settings), http3: { advertisedPort: settings.httpsPort } },
        admin: entryPoint(routerPorts.admin),
        ...Object.fromEntries(tcpEntryPoints(settings).map(({ name, inside }) => [name, entryPoint(inside)])),
      },
      ...(settings.acme ? { certificatesResolvers: { mypaas: { acme: acme(settings.acme, authorities) } } } : {}),
    },
    undefined,
    1,
  )
}

/** Where services that speak no http are reached: the port of the machine, and the one in the router's container. */
export function tcpEntryPoints({
  tcpPorts = [],
}: Pick<RouterSettings, 'tcpPorts'>): readonly Readonly<{ name: string; port: number; inside: number }>[] {
  const ports = [...tcpPorts].sort((a, b) => a - b)
  return ports.map((port, index) => ({ name: `tcp-${port}`, port, inside: routerPorts.tcp + index }))
}

function entryPoint(port: number) {
  return {
    address: `:${port}`,
    transport: {
      // 0: an upload takes as long as it takes.
      respondingTimeouts: { readTimeout: '0s' },
      // While a router that stops waits for open requests, nobody new is served.
      lifeCycle: { graceTimeOut: '1s' },
    },
    http: { aliasHeadersStrategy: 'delete', encodedCharacters: { allowEncodedNullCharacter: false } },
  }
}

/** What users come by: what they ask for goes on to services as it was asked, less what could be forged. */
function publicEntryPoint(name: 'web' | 'websecure', settings: RouterSettings) {
  const { trusted, underscoreHeaders } = settings
  const common = entryPoint(routerPorts[name])
  return {
    ...common,
    http: {
      ...common.http,
      ...(underscoreHeaders ? { aliasHeadersStrategy: 'keep' } : {}),
      sanitizePath: false,
      // Traefik makes `&` of a `;` in a query, and another query of `?a=1;b`; encoded, it is read as it was written.
      encodeQuerySemicolons: true,
      middlewares: [`${entryMiddleware[name]}@file`],
    },
    ...(trusted ? { forwardedHeaders: { trustedIPs: trusted.addresses } } : {}),
  }
}

function acme(settings: AcmeSettings, authorities: readonly string[]): unknown {
  return {
    email: settings.email,
    storage: '/acme/acme.json',
    keyType: 'EC256',
    certificatesDuration: Math.max(1, Math.round(settings.lifetimeMs / 3_600_000)),
    ...(settings.caServer ? { caServer: settings.caServer } : {}),
    ...(authorities.length > 0 ? { caCertificates: authorities, caSystemCertPool: true } : {}),
    ...challenge(settings),
  }
}

function challenge(settings: AcmeSettings): Readonly<Record<string, unknown>> {
  switch (settings.challenge) {
    case 'http':
      return { httpChallenge: { entryPoint: 'web' } }
    case 'tls':
      return { tlsChallenge: {} }
    case 'dns':
      return {
        dnsChallenge: {
          provider: settings.dnsProvider,
          ...(settings.dnsServers && settings.dnsServers.length > 0 ? { resolvers: settings.dnsServers } : {}),
          ...(settings.dnsCheck === false ? { propagation: { disableChecks: true } } : {}),
        },
      }
  }
}

/**
 * How long before its end Traefik renews a certificate, in milliseconds: it goes by how long certificates live.
 * @see https://doc.traefik.io/traefik/reference/install-configuration/tls/certificate-resolvers/acme/
 */
export function renewBeforeMs(lifetimeMs: number): number {
  const hours = lifetimeMs / 3_600_000
  const days = (count: number): number => count * 24 * 3_600_000
  if (hours >= 365 * 24) return days(120)
  if (hours >= 90 * 24) return days(30)
  if (hours >= 30 * 24) return days(10)
  if (hours >= 6 * 24) return days(2)
  if (hours >= 24) return 6 * 3_600_000
  return 20 * 60_000
}
