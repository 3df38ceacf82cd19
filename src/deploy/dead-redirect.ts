import { concreteHost } from '../router/health-request.ts'
import type { Redirect, Router } from '../router/router.ts'
import type { ServiceSpec, ServiceUrl } from '../service/spec.ts'
import { formatUrl } from '../service/url.ts'
import { journalledServices, readJournal } from './journal.ts'

type Asked = Readonly<{ url: ServiceUrl; status: number }> & Redirect

/**
 * What is wrong with where a URL sends everybody, in words: a scheme, port or path of this server where nothing answers, an
 * address that only this machine knows, or back to where it came from.
 * @returns `undefined` for what leads somewhere, or to another server, where nobody looks
 */
export async function deadRedirect(
  asked: Asked,
  spec: ServiceSpec,
  { directory, router }: Readonly<{ directory: string; router: Pick<Router, 'show'> }>,
): Promise<{ message: string; hint: string } | undefined> {
  const { url } = asked
  const host = concreteHost(url)
  const base = `${url.scheme}://${host}${url.path}`
  if (!URL.canParse(asked.location, base)) return undefined
  const target = new URL(asked.location, base)
  if (target.protocol !== 'http:' && target.protocol !== 'https:') return undefined
  const why = whyDead(target, { ...url, host }, asked, { specs: await servedSpecs(spec, directory), router })
  if (why === undefined) return undefined
  return {
    message: `${formatUrl(url)} sends everybody to ${target.href} (${asked.status}): ${why.what}.`,
    hint: why.hint,
  }
}

function whyDead(
  target: URL,
  url: ServiceUrl,
  { setsCookie }: Asked,
  { specs, router }: { specs: readonly ServiceSpec[]; router: Pick<Router, 'show'> },
): { what: string; hint: string } | undefined {
  const scheme = target.protocol === 'https:' ? 'https' : 'http'
  const host = target.hostname
  const onHost = specs.flatMap(({ urls }) => urls.filter((other) => isOf(host, other)))
  if (onHost.length === 0 && host !== url.host) {
    if (!isOnlyHere(host) || isOnlyHere(url.host)) return undefined
    return { what: `${host} is no host that users know`, hint: 'Tell the app its public address.' }
  }
  if (target.port !== '' && target.port !== new URL(router.show({ scheme, host, path: '/' })).port) {
    if (specs.some(({ publish }) => publish.some(({ hostPort }) => String(hostPort) === target.port))) return undefined
    return { what: `nothing answers on port ${target.port}`, hint: 'Tell the app its public address.' }
  }
  const covering = onHost.filter(({ path }) => path === '/' || `${target.pathname}/`.startsWith(`${path}/`))
  const [first] = covering
  if (first === undefined) {
    return { what: `no url covers ${target.pathname}`, hint: `Tell the app that it is at ${url.path}.` }
  }
  // Plain requests for what is served by https are sent on to that.
  const found = covering.filter((other) => other.scheme === scheme || other.scheme === 'https')
  if (found.length === 0) {
    return {
      what: `${host} has no https url`,
      hint: `Add # mypaas.url = ${formatUrl({ ...first, scheme: 'https' })}, or keep the app from asking for https.`,
    }
  }
  const lands = found.some((other) => other.scheme === scheme) ? scheme : 'https'
  const isBack = lands === url.scheme && host === url.host && isSamePath(target, url) && !setsCookie
  return isBack
    ? { what: 'in a circle', hint: 'Let the app believe X-Forwarded-Proto and X-Forwarded-Host of its proxy.' }
    : undefined
}

/** What this release and the other services here answer to. */
async function servedSpecs(spec: ServiceSpec, directory: string): Promise<readonly ServiceSpec[]> {
  const others = (await journalledServices(directory)).filter((service) => service !== spec.service)
  const journals = await Promise.all(others.map((service) => readJournal(directory, service).catch(() => undefined)))
  return [spec, ...journals.flatMap((journal) => journal?.current?.spec ?? [])]
}

function isOf(host: string, url: ServiceUrl): boolean {
  if (!url.host.startsWith('*.')) return url.host === host
  const [, ...parent] = host.split('.')
  return url.host === `*.${parent.join('.')}`
}

/** Names and addresses of a machine or a network of its own: `localhost`, `web`, `10.0.0.3`. */
function isOnlyHere(host: string): boolean {
  return !host.includes('.') || /^(127|10|0|192\.168|172\.(1[6-9]|2\d|3[01]))\.|^\[/.test(host)
}

function isSamePath({ pathname, search }: URL, { path }: ServiceUrl): boolean {
  return search === '' && (pathname === path || pathname === `${path}/`)
}
