import { parseArgs } from 'node:util'
import { type ArgsDef, type CommandDef, defineCommand, parseArgs as parseNamed } from 'citty'
import { MypaasError } from '../src/errors.ts'
import { nearest } from '../src/nearest.ts'

/**
 * A citty command that refuses what it does not know. citty itself takes `--dryrun` for a flag that nobody asked about
 * and runs for real.
 * @param def.rest Allows any words after the named arguments, for commands that hand them on: `rawArgs` are these then,
 *   without the `--` that may stand before them, and no flag is looked for among them.
 */
export function command<const T extends ArgsDef>(def: CommandDef<T> & { rest?: boolean }): CommandDef {
  const { run, rest, ...others } = def
  return defineCommand({
    ...others,
    async run(context) {
      const args = (typeof def.args === 'function' ? await def.args() : await def.args) ?? ({} as T)
      const restAt = refuseUnknown(args, context.rawArgs, rest === true)
      if (!rest) return run?.(context)
      const named = parseNamed<T>(context.rawArgs.slice(0, restAt), args)
      const words = context.rawArgs.slice(restAt)
      return run?.({ ...context, args: named, rawArgs: words[0] === '--' ? words.slice(1) : words })
    },
  } as CommandDef<T>) as unknown as CommandDef
}

/** @returns where the words begin that are none of the command's own */
function refuseUnknown(args: ArgsDef, rawArgs: readonly string[], rest: boolean): number {
  const flags = Object.entries(args).filter(([, arg]) => arg.type !== 'positional')
  const positionals = Object.entries(args).filter(([, arg]) => arg.type === 'positional')
  const options: Record<string, { type: 'boolean' | 'string'; short?: string }> = {}
  for (const [name, arg] of flags) {
    const alias = 'alias' in arg ? arg.alias : undefined
    const short = [alias].flat().find((candidate) => candidate?.length === 1)
    options[name] = { type: arg.type === 'boolean' ? 'boolean' : 'string', ...(short ? { short } : {}) }
  }
  const { tokens } = parseArgs({ args: [...rawArgs], options, strict: false, allowPositionals: true, tokens: true })
  let words = 0
  let end = rawArgs.length
  for (const token of tokens) {
    if (token.kind === 'option-terminator') {
      end = token.index
      break
    }
    if (token.kind === 'positional') {
      words += 1
      if (words > positionals.length && !rest) {
        throw new MypaasError(`One argument too many: ${token.value}.`, { code: 'usage', hint: 'See --help.' })
      }
      if (words > positionals.length) return token.index
      continue
    }
    const option = options[token.name]
    if (!option) {
      const known = Object.keys(options)
      const guess = nearest(token.name, known)
      throw new MypaasError(`There is no flag ${token.rawName}.`, {
        code: 'usage',
        hint: guess ? `Did you mean --${guess}?` : `See --help.`,
      })
    }
    if (option.type === 'string' && (token.value === undefined || token.value === '')) {
      throw new MypaasError(`${token.rawName} wants a value.`, { code: 'usage', hint: 'See --help.' })
    }
    if (option.type === 'boolean' && token.value !== undefined) {
      throw new MypaasError(`${token.rawName} takes no value.`, { code: 'usage', hint: 'See --help.' })
    }
  }
  for (const [name, arg] of positionals.slice(words)) {
    if (arg.required !== false && arg.default === undefined) {
      throw new MypaasError(`${name.toUpperCase()} is missing.`, { code: 'usage', hint: 'See --help.' })
    }
  }
  return end
}

/** A flag's value as a whole number. @throws {MypaasError} `usage` */
export function portFlag(name: string, value: string | undefined): number | undefined {
  if (value === undefined) return undefined
  const port = /^\d{1,5}$/.test(value) ? Number(value) : 0
  if (port >= 1 && port <= 65_535) return port
  throw new MypaasError(`--${name} must be a port, 1 to 65535, not ${value}.`, { code: 'usage' })
}
