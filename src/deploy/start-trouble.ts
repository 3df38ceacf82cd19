import { posix } from 'node:path'
import type { ContainerInspect, Docker } from '../docker/index.ts'
import { readForeignFile } from './foreign-file.ts'

/** What inits, shells and `env` say of a program that is not there, or not a program. */
const complaint = /exec (\S+) failed|exec (\S+): no such file|(\S+): (?:command )?not found|(\S+): [Pp]ermission denied/
const unableCodes: readonly number[] = [126, 127]
const lookMs = 5_000
const maxScripts = 4

/**
 * Why the command of a container that has ended could not be started, with what to do, from the files of its image: a
 * script with Windows line ends, an interpreter that is not there, a program of another system.
 * @returns `undefined` where it could, or where nothing of that is found
 */
export async function startTrouble(
  docker: Docker,
  container: ContainerInspect,
  lastLines: readonly string[],
): Promise<string | undefined> {
  const { ExitCode } = container.State
  const said = lastLines.join('\n')
  const named = programOf(lastLines)
  if (!unableCodes.includes(ExitCode) && !(ExitCode !== 0 && /no such file|not found|\r/i.test(said))) return undefined
  try {
    return await inFiles(docker, container, named)
  } catch {
    // A container that is gone, an image that can't be read: the report does without.
    return undefined
  }
}

/** The program that an init, a shell or `env` complains of in its last lines. */
export function programOf(lastLines: readonly string[]): string | undefined {
  for (const line of lastLines) {
    const found = complaint.exec(line.slice(0, maxComplaint))
    if (found) return found.slice(1).find((part) => part !== undefined)
  }
  return undefined
}

/** Whoever made the image wrote the lines and the command, and at any length. */
const maxComplaint = 500
const maxCommand = 4_096

async function inFiles(
  docker: Docker,
  container: ContainerInspect,
  named: string | undefined,
): Promise<string | undefined> {
  const { Id, Config, Path, Args, State } = container
  const workingDir = Config.WorkingDir || '/'
  const command = [...(named ? [named] : []), Path, ...Args].join(' ').slice(0, maxCommand)
  const words = command.split(/\s+/)
  const paths = words.filter((word) => /^[\w./@+-]+$/.test(word) && /\/|\.\w{1,10}$/.test(word))
  const scripts = [...new Set(paths.map((path) => posix.resolve(workingDir, path)))].slice(0, maxScripts)
  for (const script of scripts) {
    const text = await readForeignFile(docker, Id, script, { timeoutMs: lookMs }).catch(() => elf)
    if (text === undefined) continue
    const [first = ''] = text.split('\n', 1)
    const isScript = first.startsWith('#!')
    if (first.endsWith('\r') && (isScript || isShellScript(script, words))) return windowsLineEnds(script, first)
    if (isScript) {
      const missing = await missingInterpreter(docker, container, first)
      if (missing) return `The first line of ${script} asks for ${missing}, which is not in the image.`
    } else if (State.ExitCode === 127 && named && script === posix.resolve(workingDir, named)) {
      return `${script} is there, but what it needs to start is not: it was built for another system (a program for Alpine on Debian, or the other way round).`
    }
  }
  return undefined
}

/** What a program begins with. */
const elf = '\x7fELF'

function isShellScript(script: string, words: readonly string[]): boolean {
  return script.endsWith('.sh') || words.some((word) => /(^|\/)(ba|da|a|z)?sh$/.test(word))
}

function windowsLineEnds(script: string, first: string): string {
  const interpreter = first.startsWith('#!')
    ? `, so that it asks for ${JSON.stringify(first.slice(2, maxComplaint).trimStart())}`
    : ''
  const name = posix.basename(script)
  return `${script} has Windows line ends (CRLF)${interpreter}. Convert it: sed -i 's/\\r$//' ${name} (and in .gitattributes: ${name} text eol=lf)`
}

/** The interpreter of a `#!` line, or the program that its `env` is to find, when it is not in the image. */
async function missingInterpreter(
  docker: Docker,
  { Id, Config }: ContainerInspect,
  first: string,
): Promise<string | undefined> {
  const [interpreter = '', ...more] = first.slice(2).trim().split(/\s+/)
  if (!(await isThere(docker, Id, [interpreter]))) return interpreter
  const program = more.find((word) => !word.startsWith('-') && !word.includes('='))
  if (posix.basename(interpreter) !== 'env' || program === undefined) return undefined
  const path = Config.Env?.findLast((variable) => variable.startsWith('PATH='))?.slice('PATH='.length) ?? ''
  const places = program.includes('/') ? [program] : path.split(':').map((directory) => posix.join(directory, program))
  return (await isThere(docker, Id, places)) ? undefined : program
}

async function isThere(docker: Docker, container: string, paths: readonly string[]): Promise<boolean> {
  for (const path of paths) if (await docker.containers.stat(container, path, { timeoutMs: lookMs })) return true
  return false
}
