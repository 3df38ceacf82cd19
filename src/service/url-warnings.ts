import { readDirectives } from './directives.ts'
import { formatUrl, parseUrl } from './url.ts'

/**
 * What is to be minded of the URLs of a Dockerfile, in sentences with their lines; nothing of what is wrong with it.
 * @param file What the sentences call the file; `Dockerfile` unless given.
 */
export function urlWarnings(dockerfile: string, file = 'Dockerfile'): readonly string[] {
  const lineOf = new Map<string, number>()
  for (const { key, value, line } of readDirectives(dockerfile).directives) {
    const url = key === 'url' ? parseUrl(value, () => {}) : undefined
    if (url && !lineOf.has(formatUrl(url))) lineOf.set(formatUrl(url), line)
  }
  return [...lineOf].flatMap(([url, line]) => {
    const secure = url.replace(/^http:/, 'https:')
    const other = lineOf.get(secure)
    if (secure === url || other === undefined) return []
    return [
      `${file}:${line} and ${file}:${other}: ${url} and ${secure} are one host and path. Both are served, so nobody who comes by http is sent on to https. To have them sent on, leave out line ${line}.`,
    ]
  })
}
