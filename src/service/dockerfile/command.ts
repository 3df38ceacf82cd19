import { readInstruction } from './instruction.ts'
import { scanDockerfile } from './scan.ts'

/** What a container of an image starts with, as the engine has it; empty for none. */
export type ImageCommand = Readonly<{ entrypoint: readonly string[]; cmd: readonly string[] }>

/** `CMD` and `ENTRYPOINT` of the last stage of a Dockerfile; nothing where it leaves them to what it builds on. */
export function declaredCommand(dockerfile: string): ImageCommand | undefined {
  let shell: readonly string[] = ['/bin/sh', '-c']
  let found: Partial<ImageCommand> = {}
  for (const line of scanDockerfile(dockerfile).instructions) {
    const { keyword, rest, isTrigger } = readInstruction(line, [])
    if (isTrigger) continue
    if (keyword === 'FROM') {
      shell = ['/bin/sh', '-c']
      found = {}
    } else if (keyword === 'SHELL') shell = listOf(rest) ?? shell
    else if (keyword === 'CMD') found = { ...found, cmd: listOf(rest) ?? [...shell, rest] }
    else if (keyword === 'ENTRYPOINT') found = { ...found, entrypoint: listOf(rest) ?? [...shell, rest] }
  }
  const { entrypoint = [], cmd = [] } = found
  return found.entrypoint || found.cmd ? { entrypoint, cmd } : undefined
}

/** `["a", "b"]`; what only looks like it is a command for the shell. */
function listOf(text: string): readonly string[] | undefined {
  try {
    const list: unknown = JSON.parse(text)
    return Array.isArray(list) && list.every((word) => typeof word === 'string') ? list : undefined
  } catch {
    return undefined
  }
}
