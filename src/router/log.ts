import { stripVTControlCharacters } from 'node:util'
import type { Docker } from '../docker/index.ts'

/**
 * What the router last wrote of a certificate that it could not get for a host name since then.
 * @returns `undefined` when it wrote nothing of that, or has no log
 */
export async function acmeError(
  docker: Docker,
  container: string,
  host: string,
  since: Date,
): Promise<string | undefined> {
  let text = ''
  try {
    for await (const { data } of docker.containers.logs(container, { since, tail: 500, timeoutMs: 10_000 }))
      text += data
  } catch {
    return undefined
  }
  return findAcmeError(text, host)
}

/** The same in the text of a log: the `error` of the last line that says that a certificate for `host` was not to be had. */
export function findAcmeError(log: string, host: string): string | undefined {
  const line = stripVTControlCharacters(log)
    .split('\n')
    .findLast(
      (line) => /Unable to obtain ACME certificate|renewing certificate/.test(line) && line.includes(`"${host}"`),
    )
  const quoted = line === undefined ? undefined : / error=("(?:[^"\\]|\\.)*"|\S+)/.exec(line)?.[1]
  if (quoted === undefined) return undefined
  const text = quoted.startsWith('"') ? unquote(quoted) : quoted
  return text.replace(/^unable to generate a certificate for the domains \[[^\]]*\]: /, '').slice(0, 500)
}

/** Go quotes as JSON does, but for a few escapes that such lines don't have. */
function unquote(text: string): string {
  try {
    return JSON.parse(text) as string
  } catch {
    return text.slice(1, -1)
  }
}
