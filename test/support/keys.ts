import { execFile } from 'node:child_process'
import { mkdir, readFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'

const exec = promisify(execFile)

export type KeyOptions = Readonly<{ type?: string; bits?: number; passphrase?: string; format?: string }>

/** Makes a key in a file by the real ssh-keygen. @returns its public line */
export async function fileKeyOf(file: string, options: KeyOptions = {}): Promise<string> {
  await mkdir(dirname(file), { recursive: true, mode: 0o700 })
  const bits = options.bits === undefined ? [] : ['-b', String(options.bits)]
  const format = options.format === undefined ? [] : ['-m', options.format]
  const type = ['-t', options.type ?? 'ed25519', ...bits, ...format]
  await exec('ssh-keygen', ['-q', ...type, '-N', options.passphrase ?? '', '-C', 'test', '-f', file])
  return (await readFile(`${file}.pub`, 'utf8')).trim()
}

/** The same at the place where a user has it: `~/.ssh/id_TYPE`. */
export function userKeyOf(home: string, options: KeyOptions = {}): Promise<string> {
  return fileKeyOf(join(home, '.ssh', `id_${options.type ?? 'ed25519'}`), options)
}
