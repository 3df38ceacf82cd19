import { readInstruction } from './instruction.ts'
import { scanDockerfile } from './scan.ts'
import { Variables } from './variables.ts'
import { unquoteWord, words } from './words.ts'

/** What an image that is built from a Dockerfile has as `VOLUME`, as far as that can be told before. */
export type DeclaredVolumes = Readonly<{
  /** Absolute and clean; without those that have a variable in them. */
  paths: readonly string[]
  /** The image that the last stage builds on in the end, which may have more; `undefined` if there is none to be told. */
  base: string | undefined
}>

type Stage = DeclaredVolumes & Readonly<{ name: string | undefined }>

/** Reads the `VOLUME` instructions of the last stage, and of those that it builds on. */
export function declaredVolumes(dockerfile: string): DeclaredVolumes {
  const variables = new Variables()
  const stages: Stage[] = []
  for (const line of scanDockerfile(dockerfile).instructions) {
    const { keyword, rest, isTrigger } = readInstruction(line, [])
    const stage = stages.at(-1)
    if (isTrigger) continue
    if (keyword === 'ARG' && !stage) variables.declare(rest)
    else if (keyword === 'FROM') stages.push(begin(rest, stages, variables))
    else if (keyword === 'VOLUME' && stage)
      stages[stages.length - 1] = { ...stage, paths: [...new Set([...stage.paths, ...pathsOf(rest)])] }
  }
  const { paths, base } = stages.at(-1) ?? { paths: [], base: undefined }
  return { paths, base }
}

function begin(text: string, stages: readonly Stage[], variables: Variables): Stage {
  const [written = '', as, name] = words(text)
  const from = variables.expand(unquoteWord(written))
  const own = as?.toUpperCase() === 'AS' ? name?.toLowerCase() : undefined
  const before = stages.findLast((stage) => stage.name !== undefined && stage.name === from?.toLowerCase())
  if (before) return { ...before, name: own }
  return { name: own, paths: [], base: from === 'scratch' || from === '' ? undefined : from }
}

function pathsOf(text: string): readonly string[] {
  return volumeWords(text)
    .filter((path) => path.startsWith('/') && !path.includes('$'))
    .map(cleanVolumePath)
}

/** As the engine has it in the end: `/data/` is `/data`. */
export function cleanVolumePath(path: string): string {
  return `/${path.split('/').filter(Boolean).join('/')}`
}

/** `["/a", "/b"]` or words; what only looks like JSON is words to the builder, too. */
function volumeWords(text: string): readonly string[] {
  if (text.startsWith('[')) {
    try {
      const list: unknown = JSON.parse(text)
      if (Array.isArray(list) && list.every((path) => typeof path === 'string')) return list
    } catch {
      // Falls through.
    }
  }
  return words(text).map(unquoteWord)
}
