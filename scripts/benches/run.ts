import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'

const timeoutMs = 60_000
const scheduling = { isAlone: false }

/** From now on, what is run gets its processors before all else on the machine. */
export function runAlone(): void {
  scheduling.isAlone = true
}

export function isAlone(): boolean {
  return scheduling.isAlone
}

/**
 * The command as it is to be started. With the best share of the processors, but not in a real-time class: that would
 * starve those whom the command waits for, and the machine with them.
 */
export function commandLine(command: string, args: readonly string[]): [command: string, ...args: string[]] {
  return isAlone() ? ['nice', '-n', '-20', command, ...args] : [command, ...args]
}

/** Runs a command to its end. @returns milliseconds, from start to exit. @throws when it fails or takes a minute */
export async function time(
  command: string,
  args: readonly string[],
  env: Record<string, string> = {},
): Promise<number> {
  const started = performance.now()
  await output(command, args, env)
  return performance.now() - started
}

/** Runs one of the programs beside this file in a process of its own, with one JSON line as its result. */
export async function program<T>(name: string, ...args: string[]): Promise<T> {
  const file = fileURLToPath(new URL(`programs/${name}.js`, import.meta.url))
  return JSON.parse(await output(process.execPath, [file, ...args])) as T
}

async function output(command: string, args: readonly string[], env: Record<string, string> = {}): Promise<string> {
  const [file, ...rest] = commandLine(command, args)
  const child = spawn(file, rest, {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...env },
    timeout: timeoutMs,
  })
  const text = { out: '', err: '' }
  child.stdout.setEncoding('utf8').on('data', (part: string) => (text.out += part))
  child.stderr.setEncoding('utf8').on('data', (part: string) => (text.err += part))
  const code = await new Promise((resolve, reject) => child.on('close', resolve).on('error', reject))
  if (code !== 0) throw new Error(`${command} ${args.join(' ')} ended with ${code}: ${text.err || text.out}`)
  return text.out
}
