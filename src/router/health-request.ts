import type { ServiceUrl } from '../service/spec.ts'

/** How a replica is asked whether it is healthy, besides path and port. */
export type HealthRequest = Readonly<{ host: string; headers: Readonly<Record<'X-Forwarded-Proto', string>> }>

/**
 * The request by which a replica is judged, when it starts and for ever after: as its first URL's users come, since many
 * apps answer to their own names only, and send whoever does not come by https away.
 * @returns `undefined` for a service without URLs: what it is asked by is of no consequence
 */
export function healthRequest(urls: readonly ServiceUrl[]): HealthRequest | undefined {
  const [url] = urls
  return url && { host: concreteHost(url), headers: { 'X-Forwarded-Proto': url.scheme } }
}

/** A host of the URL; of `*.example.com`, one that stands for all. */
export function concreteHost({ host }: Pick<ServiceUrl, 'host'>): string {
  return host.replace(/^\*/, 'mypaas-probe')
}
