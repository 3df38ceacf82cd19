import { reachOf } from './public-address.ts'

/**
 * Why a limited key may not have something fetched (`ADD`), or nothing: it lies where only this server can reach. That is
 * said before anything is built, for the builder begins to fetch while it announces that. What else may not be fetched
 * the builder's own word tells, see `builders-word.ts`.
 */
export async function downloadProblem(url: string): Promise<string | undefined> {
  const refused = (why: string): string => `the download ${JSON.stringify(url)}: ${why}`
  const [, scheme, authority] = /^([a-z][a-z0-9+.-]*):\/\/([^/?#]*)/i.exec(url) ?? []
  if (scheme !== undefined && !/^(https?|git|ssh)$/i.test(scheme)) return refused(`by ${scheme}`)
  // Without a scheme: `git@host:path`.
  const host = (authority ?? url.replace(/[:/].*$/s, '')).replace(/^.*@/, '').replace(/:\d*$/, '')
  if (host.includes('$')) return refused("it can't be told where that is")
  return (await reachOf(host)) === 'private' ? refused(`${host} is not on the Internet`) : undefined
}
