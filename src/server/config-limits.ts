import { journalledServices } from '../deploy/journal.ts'
import { MypaasError } from '../errors.ts'
import type { ServerConfig } from './config.ts'
import { tomlText } from './config-text.ts'
import { type AuthorizedKey, coversService } from './keys.ts'

/** What `env set` lets the config grow to, in bytes. The values of one container have to fit into one call of the kernel. */
const maxValue = 64 * 1024
const maxService = 256 * 1024
const maxOfKey = 1024 * 1024
const maxConfig = 4 * 1024 * 1024

/** How many services that are not here yet can have secrets by a limited key, over all that it covers. */
const maxAwaited = 20

/** @throws {MypaasError} `usage` when a value is larger than one may be */
export function refuseLargeValue(value: string): void {
  if (Buffer.byteLength(value) > maxValue)
    throw tooMuch('The value has', Buffer.byteLength(value), maxValue, 'Put it into a file of a volume.')
}

/**
 * Refuses a value that makes the config, or the part of it that is the key's, larger than it may become. What is that large
 * already can be made smaller.
 * @param change.text What the file is to have. It can get shorter while a value grows: letters are not bytes, and escapes go.
 * @throws {MypaasError} `usage`
 */
export async function refuseGrown(
  directory: string,
  key: AuthorizedKey,
  change: Readonly<{
    before: ServerConfig
    after: ServerConfig
    textBefore: string
    text: string
    service: string | undefined
  }>,
): Promise<void> {
  const { before, after, textBefore, text, service } = change
  const remove = 'Remove some first: mypaas env rm SERVER NAME'
  const isMore = (bytes: (config: ServerConfig) => number): boolean => bytes(after) > bytes(before)
  const own = (config: ServerConfig): number =>
    bytesOf(service === undefined ? config.env : (config.services[service]?.env ?? {}))
  if (own(after) > maxService && isMore(own)) {
    const what = service === undefined ? 'The secrets of all services have' : `The secrets of ${service} have`
    throw tooMuch(
      `${what} then`,
      own(after),
      maxService,
      `${remove}${service === undefined ? '' : ` --service ${service}`}`,
    )
  }
  if (key.services !== undefined) {
    const ofKey = (config: ServerConfig): number =>
      Object.entries(config.services)
        .filter(([name]) => coversService(key, name))
        .reduce((sum, [, { env }]) => sum + bytesOf(env), 0)
    if (ofKey(after) > maxOfKey && isMore(ofKey))
      throw tooMuch("The secrets of the key's services have then", ofKey(after), maxOfKey, `${remove} --service NAME`)
    await refuseAwaited(directory, key, before, service)
  }
  if (Buffer.byteLength(text) > maxConfig && Buffer.byteLength(text) > Buffer.byteLength(textBefore))
    throw tooMuch("The server's config.toml has then", Buffer.byteLength(text), maxConfig, remove)
}

/** A first push needs its secrets before there is a service; but not those of any number of services. */
async function refuseAwaited(
  directory: string,
  key: AuthorizedKey,
  { services }: ServerConfig,
  service: string | undefined,
): Promise<void> {
  if (service === undefined || Object.hasOwn(services, service)) return
  const here = new Set(await journalledServices(directory))
  if (here.has(service)) return
  const awaited = Object.keys(services).filter((name) => coversService(key, name) && !here.has(name))
  if (awaited.length < maxAwaited) return
  throw new MypaasError(
    `There are secrets of ${awaited.length} services of the key that are not here: ${awaited.slice(0, 5).join(', ')} …`,
    {
      code: 'usage',
      hint: 'Deploy one of them, or remove what one has: mypaas env rm SERVER NAME --service …',
    },
  )
}

/** As they are written: some letters take six there. */
function bytesOf(env: Readonly<Record<string, string>>): number {
  return Object.entries(env).reduce(
    (sum, [name, value]) => sum + Buffer.byteLength(name) + Buffer.byteLength(tomlText(value)),
    0,
  )
}

function tooMuch(what: string, bytes: number, max: number, hint: string): MypaasError {
  const kib = (count: number): string => `${Math.ceil(count / 1024).toLocaleString('en')} KiB`
  return new MypaasError(`${what} ${kib(bytes)}, at most ${kib(max)} are kept.`, { code: 'usage', hint })
}
