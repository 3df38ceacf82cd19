/**
 * What a server says of its home.
 *
 * - `homes`: its absolute paths; what lies below one of them is the same as `~/…`
 * - `allowed`: places below the home (`.config/app`) that may be mounted although of their names, and what is in them;
 *   `'all'` where somebody else judges that: the client, which does not know the server's config, and a reader of what
 *   was deployed already
 * - `service`: whose places examples name
 */
export type HomeRules = Readonly<{
  homes: readonly string[]
  allowed: readonly string[] | 'all'
  service?: string | undefined
}>

/** Of a server that allows nothing more than others. */
export const usualHome: HomeRules = { homes: [], allowed: [] }

/** For those who only want to know what a Dockerfile says. */
export const anyHome: HomeRules = { homes: [], allowed: 'all' }

/** A place that a service can have, whatever key deploys it. */
export function exampleInHome({ service }: Pick<HomeRules, 'service'>): string {
  return service === undefined ? '~/data' : `~/${service}/data`
}

/**
 * Why no service may mount a place in the home, whatever the key. What begins with a dot, at any level, holds settings,
 * credentials and programs of the server's user, and `~/bin` programs, too: a rule, for nobody knows all their names.
 * @param path below the home, clean: `data/pg`
 */
export function homeProblem(path: string, rules: HomeRules): Readonly<{ message: string; hint: string }> | undefined {
  const { allowed } = rules
  const another = `Give another directory below the home: ${exampleInHome(rules)}`
  const parts = path.split('/')
  const first = parts[0] ?? ''
  const never = neverInHome.get(first.toLowerCase())
  if (never !== undefined) {
    return { message: `~/${first} is not mounted: ${never}`, hint: another }
  }
  if (allowed === 'all' || allowed.some((place) => path === place || path.startsWith(`${place}/`))) return undefined
  const at = parts.findIndex((part) => part.startsWith('.'))
  if (at < 0 && first !== 'bin') return undefined
  const shown = parts.slice(0, Math.max(0, at) + 1).join('/')
  const why =
    at < 0
      ? "programs of the server's user are there"
      : "names with a dot in front hold settings, credentials and programs of the server's user"
  const list = JSON.stringify([...allowed, path].map((place) => `~/${place}`))
  return {
    message: `~/${shown} is not mounted: ${why}`,
    hint: `${another}. Or allow it in the section [server] of the server's config.toml: home_paths = ${list}`,
  }
}

/** Not even if the config said so. */
const neverInHome: ReadonlyMap<string, string> = new Map([
  ['.ssh', "the server's SSH keys are there"],
  ['_mypaas', 'the secrets and keys of mypaas are there'],
])

/** An absolute path as one below the home; `''` for the home itself, `undefined` for what lies elsewhere. */
export function pathInHome(path: string, { homes }: HomeRules): string | undefined {
  for (const home of homes) {
    if (path === home) return ''
    if (path.startsWith(`${home}/`)) return path.slice(home.length + 1)
  }
  return undefined
}

/** Whether an entry of `home_paths` can be one: `~/.config/app`. */
export function isHomePath(text: string): boolean {
  const parts = text.split('/')
  const rest = parts.slice(1)
  const isClean = rest.length > 0 && rest.every((part) => part !== '' && part !== '.' && part !== '..')
  return parts[0] === '~' && isClean && !neverInHome.has((rest[0] ?? '').toLowerCase())
}
