import { quote, type Report } from './problems.ts'
import type { ServiceUrl } from './spec.ts'

/**
 * `https://example.com/docs` → scheme, host, path. What comes out is made of checked tokens only: the host of labels of
 * `a-z`, `0-9` and `-` (or `*.` before them, for one label of any name; or an IPv4 address with http), the path of
 * segments of `A-Z a-z 0-9 . _ ~ -`. So it can stand in a router's rule as it is.
 */
export function parseUrl(text: string, report: Report): ServiceUrl | undefined {
  if (/[ \t]/.test(text)) {
    report(`${quote(text)} has a blank in it`, 'Write nothing behind the URL, not even a comment')
    return undefined
  }
  const match = /^(?:([A-Za-z][A-Za-z0-9+.-]*):)?\/\/([^/?#]*)([^?#]*)(\?[^#]*)?(#.*)?$/s.exec(text)
  const scheme = match?.[1]?.toLowerCase()
  if (!match || (scheme !== 'http' && scheme !== 'https')) {
    const rest = text.slice(0, 600).replace(/^(?:[A-Za-z]+:)?\/*/, '')
    const better = asWritten('https', rest)
    report(`${quote(text)} starts with neither https:// nor http://`, better && `For example: mypaas.url = ${better}`)
    return undefined
  }
  const [, , authority = '', path = '', query, fragment] = match
  const user = authority.lastIndexOf('@') + 1
  const port = /:\d*$/.exec(authority)
  const host = authority.slice(user, port?.index)

  const tooMuch: string[] = []
  if (user > 0) tooMuch.push('a user name')
  if (port) tooMuch.push(`a port (${quote(port[0])})`)
  if (query !== undefined) tooMuch.push(`a query (${quote(query)})`)
  if (fragment !== undefined) tooMuch.push(`a fragment (${quote(fragment)})`)
  if (tooMuch.length > 0) {
    const better = asWritten(scheme, host + path)
    const what = tooMuch.length === 1 ? tooMuch[0] : `${tooMuch.slice(0, -1).join(', ')} and ${tooMuch.at(-1)}`
    report(`too precise: a service's URL is a host and a path, and this one has ${what}`, better && `Write ${better}`)
  }
  const checkedHost = checkHost(host, scheme, report)
  const checkedPath = checkPath(path, report)
  if (tooMuch.length > 0 || checkedHost === undefined || checkedPath === undefined) return undefined
  return { scheme, host: checkedHost, path: checkedPath }
}

/** As a person would write it: `https://example.com`, `https://example.com/docs`. The inverse of `parseUrl`. */
export function formatUrl(url: ServiceUrl): string {
  return `${url.scheme}://${url.host}${url.path === '/' ? '' : url.path}`
}

function checkHost(text: string, scheme: 'http' | 'https', report: Report): string | undefined {
  if (text === '') {
    report('the URL has no host', 'For example: mypaas.url = https://example.com')
    return undefined
  }
  // Before lower-casing: that makes plain letters of some that are not (the Kelvin sign, for one).
  if (!/^[\x21-\x7e]+$/.test(text)) {
    const ascii = asciiHost(text) ?? ''
    report(
      `the host ${quote(text)} has characters other than A-Z, 0-9 and -`,
      hostProblem(ascii, scheme) === undefined ? `Write it in the form that is used on the wire: ${ascii}` : undefined,
    )
    return undefined
  }
  const host = text.toLowerCase()
  const problem = hostProblem(host, scheme)
  if (problem === undefined) return host
  report(`the host ${quote(text)} ${problem}`)
  return undefined
}

/** Why a host can't be, as the end of a sentence. */
function hostProblem(host: string, scheme: 'http' | 'https'): string | undefined {
  if (host.startsWith('[')) return 'is an IPv6 address: give a name'
  if (host.endsWith('.')) return 'ends with a dot: leave that out'
  const name = host.startsWith('*.') ? host.slice(2) : host
  if (name.includes('*')) return 'has a * that is not its whole first part: only *.example.com is possible'
  if (host.length > 253) return 'is longer than 253 characters'
  const labels = name.split('.')
  const wrong = labels.find((label) => !/^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/.test(label))
  if (wrong === '') return 'has two dots in a row or one at its start'
  if (wrong !== undefined) {
    return /^[a-z0-9-]*$/.test(wrong)
      ? `has a part (${quote(wrong)}) that begins or ends with a dash or is longer than 63 characters`
      : `has a part (${quote(wrong)}) with other characters than a-z, 0-9 and -`
  }
  if (name.includes('xn--') && asciiHost(name) !== name)
    return 'has a part that begins with xn-- and is no international name'
  // Browsers take a host for an IPv4 address when its last part looks like a number.
  if (!/^(?:\d+|0x[0-9a-f]*)$/.test(labels.at(-1) ?? '')) return undefined
  if (name !== host || !isIPv4(name)) return 'ends like an IP address but is none'
  return scheme === 'https' ? 'is an IP address, which gets no certificate: give a name, or use http://' : undefined
}

function checkPath(path: string, report: Report): string | undefined {
  const segments = path.split('/').slice(1)
  if (segments.at(-1) === '') segments.pop()
  const shown = `the path ${quote(path)}`
  if (path.length > 255) report(`${shown} is longer than 255 characters`)
  else if (path.includes('%')) report(`${shown} has a %: it is compared as written, so it can't be encoded`)
  else if (!/^[A-Za-z0-9._~/-]*$/.test(path)) report(`${shown} has other characters than A-Z a-z 0-9 . _ ~ - /`)
  else if (segments.some((segment) => segment === '.' || segment === '..')) report(`${shown} has a part "." or ".."`)
  else if (segments.includes('')) {
    report(`${shown} has two slashes in a row`, `Write /${segments.filter(Boolean).join('/')}`)
  } else return `/${segments.join('/')}`
  return undefined
}

export function isIPv4(text: string): boolean {
  return /^(?:(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)(?:\.(?!$)|$)){4}$/.test(text)
}

/** The URL for a hint, if it would do. */
function asWritten(scheme: 'http' | 'https', rest: string): string | undefined {
  let wrong = false
  const [host = ''] = rest.split('/', 1)
  const url = { host: checkHost(host, scheme, note), path: checkPath(rest.slice(host.length), note) }
  function note(): void {
    wrong = true
  }
  return wrong || url.host === undefined || url.path === undefined
    ? undefined
    : formatUrl({ scheme, host: url.host, path: url.path })
}

/** The host as a browser asks for it, international names as `xn--…`; `undefined` if it would not. */
function asciiHost(host: string): string | undefined {
  try {
    return new URL(`http://${host}`).hostname
  } catch {
    return undefined
  }
}
