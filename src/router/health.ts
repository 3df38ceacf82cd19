import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'

/** Something about the running router that is not as its files say. */
export type RouterProblem = Readonly<
  | { kind: 'silent'; why: string }
  /** A route that it refuses. */
  | { kind: 'refused'; route: string; why: string }
  /** A file whose content it has not taken. */
  | { kind: 'stale'; file: string }
  /** A file that mypaas did not write: one that is broken keeps the router from taking any other. */
  | { kind: 'foreign'; file: string }
>

export type Api = (path: string) => Promise<{ status: number; body: string }>

/** The files that mypaas writes for the router, among those that a person may put beside them. */
export const ownFiles: RegExp = /^(base|entry|names)\.yml$|^service-[a-z0-9._-]+\.yml$/

/** Compares what the router runs with what its files say. */
export async function routerProblems(directory: string, api: Api): Promise<readonly RouterProblem[]> {
  let routers: readonly { name: string; status?: string; error?: readonly string[] }[]
  let middlewares: ReadonlySet<string>
  try {
    routers = await list(api, '/api/http/routers')
    middlewares = new Set((await list<{ name: string }>(api, '/api/http/middlewares')).map(({ name }) => name))
  } catch (error) {
    return [{ kind: 'silent', why: error instanceof Error ? error.message : String(error) }]
  }
  const problems: RouterProblem[] = routers
    .filter(({ status }) => status !== 'enabled')
    .map(({ name, error }) => ({ kind: 'refused', route: name, why: error?.join('; ') ?? 'it does not say why' }))
  for (const file of await readdir(join(directory, 'dynamic')).catch(() => [])) {
    if (!ownFiles.test(file)) problems.push({ kind: 'foreign', file: join(directory, 'dynamic', file) })
    else if (file.startsWith('service-')) {
      const text = await readFile(join(directory, 'dynamic', file), 'utf8').catch(() => '')
      // The middleware that carries the revision of the content.
      const revision = /"([^"]+~rev~[^"]+)"/.exec(text)?.[1]
      if (revision === undefined || !middlewares.has(`${revision}@file`)) {
        problems.push({ kind: 'stale', file: join(directory, 'dynamic', file) })
      }
    }
  }
  return problems
}

/** All pages of a list of the router's API. */
export async function list<T>(api: Api, path: string): Promise<T[]> {
  const found: T[] = []
  for (let page = 1; page <= 100; page += 1) {
    const { status, body } = await api(`${path}?per_page=1000&page=${page}`)
    // What is beyond the last page.
    if (status === 400 && page > 1) break
    if (status !== 200) throw new Error(`its API answers ${status}`)
    const items = JSON.parse(body) as T[]
    found.push(...items)
    if (items.length < 1000) break
  }
  return found
}
