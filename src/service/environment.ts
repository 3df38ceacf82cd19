import { MypaasError } from '../errors.ts'
import { formatBytes } from '../units.ts'
import type { ServiceSpec } from './spec.ts'

/**
 * The service's own variables as the Engine takes them, `KEY=value`, in the order of the Dockerfile. Those without a
 * value are sampled from the secrets; the result is for the container alone, never for a message, a plan or a label.
 * @param secrets What the server has for this service: key → value.
 * @param options.config What the message calls the file to add a missing one to; `~/_mypaas/config.toml` unless given.
 * @param options.from Whose secrets these are: the server's and the service's, the service's alone, or `unknown`, those
 *   that are known to be allowed; `server` unless given.
 * @throws {MypaasError} `directives`, with every key that the server does not have and the lines to add, or whose value no
 *   process can be started with
 */
export function sampleEnvironment(
  spec: Pick<ServiceSpec, 'service' | 'env'>,
  secrets: Readonly<Record<string, string>>,
  options: { config?: string; from?: 'server' | 'service' | 'unknown' } = {},
): string[] {
  const missing: string[] = []
  const environment = spec.env.map(({ key, value = Object.hasOwn(secrets, key) ? secrets[key] : undefined }) => {
    if (value === undefined) missing.push(key)
    return `${key}=${value}`
  })
  if (missing.length === 0) return withinKernelsLimit(environment)
  const config = options.config ?? '~/_mypaas/config.toml'
  if (options.from === 'service') {
    throw new MypaasError(
      `${spec.service} has no ${missing.join(', ')} of its own, and may have no secret of others: it was deployed, or is run, by a key that is limited to some services.`,
      {
        code: 'directives',
        hint: `Give it one: mypaas env set SERVER ${missing[0]} --service ${spec.service}\nOr have somebody with an unlimited key deploy it.`,
      },
    )
  }
  if (options.from === 'unknown') {
    throw new MypaasError(
      `An older mypaas deployed this release of ${spec.service} and did not note whose secrets it may have: it gets its own, and of those in [env] what it is known to have had, which ${missing.join(', ')} is not.`,
      {
        code: 'directives',
        hint: `Deploy ${spec.service} again, or give it one of its own: mypaas env set SERVER ${missing[0]} --service ${spec.service}`,
      },
    )
  }
  const lines = missing.map((key) => `  ${/^[A-Za-z0-9_-]+$/.test(key) ? key : `"${key}"`} = "…"`)
  throw new MypaasError(
    `The server has no value for ${missing.join(', ')}, which ${spec.service} wants (mypaas.env without a value).`,
    {
      code: 'directives',
      hint: `Add to the section [env] of ${config} on the server:\n${lines.join('\n')}\nOr from elsewhere: mypaas env set SERVER ${missing[0]}`,
    },
  )
}

/** Linux takes no longer `KEY=value` for a new process: 32 pages, its zero byte included. */
const maxVariableBytes = 128 * 1024 - 1

function withinKernelsLimit(environment: string[]): string[] {
  const large = environment.filter((variable) => Buffer.byteLength(variable) > maxVariableBytes)
  if (large.length === 0) return environment
  const names = large.map((variable) => variable.slice(0, variable.indexOf('=')))
  const [first = ''] = large
  throw new MypaasError(
    `${names.join(', ')} ${names.length === 1 ? 'is' : 'are'} too long: with ${formatBytes(Buffer.byteLength(first))} no process can be started, at most 128 KiB are possible for a variable and its name.`,
    {
      code: 'directives',
      hint: 'Put it into a file of a volume, and give the app its path: # mypaas.volume = ~/NAME:/run/NAME:ro',
    },
  )
}
