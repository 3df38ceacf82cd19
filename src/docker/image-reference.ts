/** A name of an image, as Docker completes it: `node` is `docker.io/library/node:latest`. */
export type ImageReference = Readonly<{
  /** `docker.io`, `registry.example.com:5000` */
  registry: string
  /** `library/node` */
  repository: string
  /** `latest` where neither tag nor digest is written. */
  tag?: string
  /** `sha256:…` */
  digest?: string
}>

/**
 * Reads a name of an image.
 * @returns `undefined` when it is none
 * @see https://pkg.go.dev/github.com/distribution/reference#ParseNormalizedNamed
 */
export function parseImageReference(text: string): ImageReference | undefined {
  const [named = '', digest, ...more] = text.split('@')
  if (more.length > 0 || (digest !== undefined && !/^sha256:[0-9a-f]{64}$/.test(digest))) return undefined
  const slash = named.indexOf('/')
  const first = slash < 0 ? '' : named.slice(0, slash)
  const hasHost = /[.:]/.test(first) || first === 'localhost' || first !== first.toLowerCase()
  const rest = hasHost ? named.slice(slash + 1) : named
  const match = /^([a-z0-9]+(?:(?:\.|_{1,2}|-+|\/)[a-z0-9]+)*)(?::(\w[\w.-]{0,127}))?$/.exec(rest)
  if (!match || (hasHost && !/^(\[[0-9a-fA-F:]+\]|[\w-]+(\.[\w-]+)*\.?)(:\d{1,5})?$/.test(first))) return undefined
  const registry = hasHost ? registryNamed(first) : hub
  const path = match[1] as string
  const tag = match[2] ?? (digest === undefined ? 'latest' : undefined)
  return {
    registry,
    repository: registry === hub && !path.includes('/') ? `library/${path}` : path,
    ...(tag === undefined ? {} : { tag }),
    ...(digest === undefined ? {} : { digest }),
  }
}

const hub = 'docker.io'

/** What a registry is called here: Docker Hub goes by one of its names. */
export function registryNamed(host: string): string {
  return /^(index\.)?docker\.io$/i.test(host) ? hub : host
}

/** Whether `used` is what `allowed` names: the same digest if that has one, else the same tag. */
export function isSameImage(allowed: ImageReference, used: ImageReference): boolean {
  if (allowed.registry !== used.registry || allowed.repository !== used.repository) return false
  // The builder adds the digest that it found behind a tag.
  return allowed.digest === undefined ? allowed.tag === used.tag : allowed.digest === used.digest
}
