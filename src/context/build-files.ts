import { closeSync, constants, fstatSync, openSync, readdirSync, readSync, realpathSync, statSync } from 'node:fs'
import { isAbsolute, posix, relative, sep } from 'node:path'
import { textOf } from '../encoding.ts'
import { MypaasError } from '../errors.ts'
import { formatBytes } from '../units.ts'

/**
 * Finds and reads the Dockerfile and the ignore file of a directory.
 * @param root the directory's absolute path
 * @param given the Dockerfile's path in it; what `docker build` and `podman build` look for unless given
 * @param shown what errors call the directory
 * @throws {MypaasError} `context`: no directory, no Dockerfile in it, one of the files can't be read or is too large
 */
export function readBuildFiles(root: string, given: string | undefined, shown: string): BuildFiles {
  const directory = shown === '' ? '.' : shown
  const found = given === undefined ? findDockerfile(root, directory) : { name: given, warnings: [] }
  const name = posix.normalize(found.name.split(sep).join('/'))
  const dockerfile = locateDockerfile(root, name, directory)
  const ignoreNames = [`${name}.dockerignore`, ...(name === containerfile ? ['.containerignore'] : []), '.dockerignore']
  const ignoreName = ignoreNames.find((file) => exists(`${root}/${file}`))
  return {
    dockerfile,
    dockerfileText: readText(`${root}/${dockerfile}`, `${dockerfile} in ${directory}`),
    ignoreName: ignoreName ?? '.dockerignore',
    ignoreText: ignoreName === undefined ? '' : readText(`${root}/${ignoreName}`, `${ignoreName} in ${directory}`),
    // No builder reads a `NAME.dockerignore` from an archive: it goes like any other file.
    required: ignoreName === '.dockerignore' ? [dockerfile, ignoreName] : [dockerfile],
    warnings: found.warnings,
  }
}

export type BuildFiles = Readonly<{
  /** Inside of the directory; a symlink is followed. */
  dockerfile: string
  dockerfileText: string
  /** The file that counts: `NAME.dockerignore` beside the Dockerfile, else `.dockerignore`. */
  ignoreName: string
  /** Empty if there is none. */
  ignoreText: string
  /** What the builder needs even if it is ignored. */
  required: readonly string[]
  /** Which file counts, where there are several. */
  warnings: readonly string[]
}>

const containerfile = 'Containerfile'

/** By the names in the directory: where `Dockerfile` and `dockerfile` are one file, it goes by the name that it has. */
function findDockerfile(root: string, directory: string): { name: string; warnings: readonly string[] } {
  const names = namesIn(root)
  const [first, ...others] = ['Dockerfile', 'dockerfile', containerfile].filter((name) => names.includes(name))
  if (first === undefined) return { name: 'Dockerfile', warnings: [] }
  const text = (name: string): string => readText(`${root}/${name}`, `${name} in ${directory}`)
  const different = others.filter((name) => text(name) !== text(first))
  if (first !== 'Dockerfile' && different.length > 0) {
    throw failure(
      `${first} and ${different.join(' and ')} in ${directory}: it is not clear which one is meant.`,
      `Give the one that is: ${directory}/${first} or ${directory}/${different[0]}.`,
    )
  }
  return { name: first, warnings: different.map((name) => `${name} is not used: ${first} goes before it`) }
}

function namesIn(root: string): readonly string[] {
  try {
    return readdirSync(root)
  } catch {
    // What is wrong with it is told where it is looked at.
    return []
  }
}

function locateDockerfile(root: string, name: string, directory: string): string {
  if (isAbsolute(name) || isOutside(name)) {
    throw failure(
      `The Dockerfile ${name} is outside of ${directory}.`,
      'Put it into the directory: only what is in there is sent.',
    )
  }
  const whole = tryRealPath(root)
  if (whole === undefined) throw failure(`There is no directory ${directory}.`, giveDirectory)
  if (!statSync(whole).isDirectory()) throw failure(`${directory} is not a directory.`, giveDirectory)
  const target = tryRealPath(`${root}/${name}`)
  if (target === undefined) throw failure(`No ${name} in ${directory}.`, giveDirectory)
  const path = relative(whole, target).split(sep).join('/')
  if (isOutside(path)) {
    throw failure(
      `${name} in ${directory} is a link to ${target}, outside of the directory.`,
      'Put the file itself there: only what is in the directory is sent.',
    )
  }
  return path
}

const giveDirectory = 'Give the directory that has the Dockerfile.'

function isOutside(path: string): boolean {
  return path === '..' || path.startsWith('../')
}

function exists(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false }) !== undefined
}

function tryRealPath(path: string): string | undefined {
  try {
    return realpathSync(path)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined
    throw failure(`Can't read ${path} (${code ?? error}).`, 'Make it readable.', error)
  }
}

const maxTextBytes = 1024 * 1024

function readText(path: string, shown: string): string {
  let file: number | undefined
  try {
    // Not to be held up by a pipe of that name.
    file = openSync(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0))
    if (!fstatSync(file).isFile()) throw failure(`${shown} is not a file.`)
    const bytes = Buffer.alloc(maxTextBytes + 1)
    let length = 0
    for (let read = -1; read !== 0 && length < bytes.length; length += read) {
      read = readSync(file, bytes, length, bytes.length - length, null)
    }
    if (length > maxTextBytes) throw failure(`${shown} is larger than ${formatBytes(maxTextBytes)}.`)
    return textOf(bytes.subarray(0, length), shown, 'context').replace(/^\uFEFF/, '')
  } catch (error) {
    if (error instanceof MypaasError) throw error
    throw failure(
      `Can't read ${shown} (${(error as NodeJS.ErrnoException).code ?? error}).`,
      'Make it readable.',
      error,
    )
  } finally {
    if (file !== undefined) closeSync(file)
  }
}

function failure(message: string, hint?: string, cause?: unknown): MypaasError {
  return new MypaasError(message, { code: 'context', hint, cause })
}
