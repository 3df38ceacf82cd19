import { type ChildProcess, spawn } from 'node:child_process'
import { until } from './until.ts'

/** A command on a terminal of its own. `output` grows while it runs, both of its streams as they come to the screen. */
export type OnPty = Readonly<{
  readonly output: string
  /** Done when `pattern` is on the screen; fails when the command ends without it. Default 60,000 ms. */
  seen(pattern: RegExp, timeoutMs?: number): Promise<RegExpExecArray>
  /** Types: `\u0003` is Ctrl-C, which the terminal makes a signal to each process that it shows. */
  press(keys: string): void
  /** As when its window is closed: the terminal is gone, and what it shows hears of it. */
  close(): void
  /** 128 and the signal's number for a command that a signal ended; nothing after `close`. */
  result: Promise<Readonly<{ code: number | null; output: string }>>
}>

/** Runs a command at a terminal, as its foreground process group. */
export function onPty(words: readonly string[], env: NodeJS.ProcessEnv, options: { cwd?: string } = {}): OnPty {
  const line = `exec ${words.map((word) => `'${word.replaceAll("'", "'\\''")}'`).join(' ')}`
  const child: ChildProcess = spawn('script', ['-qefc', line, '/dev/null'], { ...options, env, stdio: 'pipe' })
  let output = ''
  let ended = false
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    output += text
  })
  child.stdin?.on('error', () => {}) // it may have ended by then
  const result = new Promise<{ code: number | null; output: string }>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code) => {
      ended = true
      resolve({ code, output })
    })
  })
  return {
    get output(): string {
      return output
    },
    async seen(pattern, timeoutMs = 60_000) {
      const what = `${pattern} on the terminal of ${words.join(' ')}`
      const match = await until(() => pattern.exec(output) ?? ended, { what, timeoutMs, everyMs: 5 }).catch(
        (cause: Error) => {
          throw new Error(`${cause.message}. It showed:\n${output}`, { cause })
        },
      )
      if (match === true) throw new Error(`The command ended without ${what}. It showed:\n${output}`)
      return match
    },
    press: (keys) => void child.stdin?.write(keys),
    close: () => void child.kill('SIGKILL'),
    result,
  }
}
