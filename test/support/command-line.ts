import { spawn } from 'node:child_process'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const main = join(dirname(fileURLToPath(import.meta.url)), '..', '..', 'cli', 'main.ts')

export type Ran = Readonly<{ code: number | null; stdout: string; stderr: string }>

function environment(home: string): NodeJS.ProcessEnv {
  const own = Object.entries(process.env).filter(([name]) => !name.startsWith('MYPAAS_') && name !== 'XDG_CONFIG_HOME')
  return { ...Object.fromEntries(own), HOME: home, NO_COLOR: '1' }
}

/** The command line in a home, without a terminal and a world. */
export function mypaas(
  home: string,
  words: readonly string[],
  options: { env?: Record<string, string> } = {},
): Promise<Ran> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, ['--import', import.meta.resolve('tsx'), main, ...words], {
      env: { ...environment(home), ...options.env },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    let [stdout, stderr] = ['', '']
    child.stdout.on('data', (part) => {
      stdout += part
    })
    child.stderr.on('data', (part) => {
      stderr += part
    })
    child.on('error', reject)
    child.on('close', (code) => resolve({ code, stdout, stderr }))
  })
}

/** The same on a terminal, at which somebody answers the question. */
export async function onTerminal(
  home: string,
  words: readonly string[],
  answer: string,
): Promise<{ code: number | null; output: string }> {
  const line = [process.execPath, '--import', import.meta.resolve('tsx'), main, ...words]
    .map((word) => `'${word.replaceAll("'", "'\\''")}'`)
    .join(' ')
  return new Promise((resolve, reject) => {
    const child = spawn('script', ['-qefc', line, '/dev/null'], { env: environment(home), stdio: 'pipe' })
    let output = ''
    let asked = false
    child.stdout.on('data', (part) => {
      output += part
      if (asked || !/the fingerprint\) /.test(output)) return
      asked = true
      // Nobody answers: Ctrl-C.
      child.stdin.write(answer === '\\r' ? '\u0003' : answer.replace('\\r', '\r'))
    })
    child.on('error', reject)
    child.on('close', (code) => resolve({ code, output }))
  })
}
