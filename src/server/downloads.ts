import type { HostReach } from './host-reach.ts'

/**
 * Why a limited key may not have something fetched (`ADD`), or nothing: it lies where only this server can reach, or nobody
 * knows where. That is said before anything is built, for the builder begins to fetch while it announces that. What else
 * may not be fetched the builder's own word tells, see `builders-word.ts`.
 * @param known Hosts that the server's owner knows to be public: they are not looked up.
 */
export async function downloadProblem(
  url: string,
  { reach, known }: Readonly<{ reach: HostReach; known: readonly string[] }>,
): Promise<string | undefined> {
  const refused = (why: string): string => `the download ${JSON.stringify(url)}: ${why}`
  const [, scheme, authority] = /^([a-z][a-z0-9+.-]*):\/\/([^/?#]*)/i.exec(url) ?? []
  if (scheme !== undefined && !/^(https?|git|ssh)$/i.test(scheme)) return refused(`by ${scheme}`)
  // Without a scheme: `git@host:path`.
  const host = (authority ?? url.replace(/[:/].*$/s, '')).replace(/^.*@/, '').replace(/:\d*$/, '')
  if (host.includes('$')) return refused("it can't be told where that is")
  if (known.includes(host)) return undefined
  const found = await reach.of(host)
  if (found === 'private') return refused(`${host} is not on the Internet`)
  return found === 'unknown' ? refused(`it could not be looked up where ${host} is`) : undefined
}
