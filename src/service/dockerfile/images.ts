import { type Problem, quote } from '../problems.ts'
import { type Instruction, readInstruction } from './instruction.ts'
import { readMount } from './mounts.ts'
import { readSources } from './remotes.ts'
import type { Scan } from './scan.ts'
import { scanDockerfile } from './scan.ts'
import { Variables } from './variables.ts'
import { odd, unquoteWord, words } from './words.ts'

/** An image that a build starts from or takes files of. */
export type BaseImage = Readonly<{
  /** As written, variables replaced: `node:22`, `registry.example.com/app@sha256:…`. */
  image: string
  /** E.g. `linux/arm64`; absent for the engine's own. */
  platform?: string
  /** Named by the tag `latest`, or by none, which is the same: a newer one may be there. */
  newest: boolean
}>

/**
 * The images that a Dockerfile names in `FROM`, `COPY --from=` and `RUN --mount=…,from=`, each once, in order. Stages of
 * its own and `scratch` are none; nor is one whose name depends on a variable that has no default.
 */
export function baseImages(dockerfile: string): readonly BaseImage[] {
  const found = new Map<string, BaseImage>()
  for (const { reference: image, platform, kind, isIncomplete } of readImages(scanDockerfile(dockerfile)).images) {
    if (kind === 'onbuild' || isIncomplete) continue
    const key = `${image} ${platform ?? ''}`
    const newest = !image.includes('@') && !/:(?!latest$)[^/]*$/.test(image)
    if (!found.has(key)) found.set(key, { image, newest, ...(platform === undefined ? {} : { platform }) })
  }
  return [...found.values()]
}

/** One place where a Dockerfile names an image. */
export type ImageReference = Readonly<{
  line: number
  /** Variables replaced. */
  reference: string
  kind: 'from' | 'copy' | 'mount' | 'onbuild'
  platform?: string | undefined
  /** It depends on a variable without a value, so that there may be no such image. */
  isIncomplete?: boolean
}>

/** A source of `ADD` or `COPY` that the builder fetches from elsewhere, as written: http(s), git, ssh. */
export type Remote = Readonly<{ line: number; url: string }>

export type ImageReading = Readonly<{
  images: readonly ImageReference[]
  remotes: readonly Remote[]
  /** What names an image, or could, and can't be told for sure. */
  unclear: readonly Problem[]
}>

/** Every reference to an image in a Dockerfile, and what in it builders may read otherwise. */
export function readImages({ instructions }: Scan): ImageReading {
  const reader = new ImageReader()
  for (const line of instructions) reader.read(readInstruction(line, reader.unclear))
  return reader
}

class ImageReader implements ImageReading {
  readonly images: ImageReference[] = []
  readonly remotes: Remote[] = []
  readonly unclear: Problem[] = []
  readonly #variables = new Variables()
  /** The names of the stages so far, in lower case, to how many stages there were when it was given. */
  readonly #stages = new Map<string, number>()
  #stageCount = 0

  read(instruction: Instruction): void {
    switch (instruction.keyword) {
      case 'ARG':
        if (this.#stageCount === 0) this.#variables.declare(instruction.rest)
        return
      case 'FROM':
        this.#from(instruction)
        return
      case 'ADD':
        this.#sources(instruction)
        return
      case 'COPY':
        this.#sources(instruction)
        for (const { name, value } of instruction.flags) {
          if (name === 'from') this.#copyFrom(instruction, value)
        }
        return
      case 'RUN':
        for (const { name, value = '' } of instruction.flags) {
          if (name !== 'mount') continue
          const { from, problem } = readMount(value)
          if (problem) this.#note(instruction, problem.message, problem.hint)
          const isNumber = from !== undefined && /^\d+$/.test(from)
          // One complaint of a mount is enough.
          if (from === undefined || (problem && (isNumber || !isReference(from)))) continue
          if (isNumber)
            this.#note(instruction, `The mount is from ${quote(from)}, which builders take for an image`, stageHint)
          else this.#stageOrImage(instruction, from, 'mount')
        }
    }
  }

  #from(instruction: Instruction): void {
    const args = instruction.rest === '' ? [] : words(instruction.rest)
    const [written = '', as, name] = args
    const image = this.#variables.expand(unquoteWord(written))
    // One that is empty in the end is no image; builders refuse it.
    if (written !== unquoteWord(written) || image === undefined || !(isReference(image) || image === ''))
      this.#note(
        instruction,
        `It can't be told which image ${quote(written)} is`,
        'Write its name, with at most variables that an ARG above the first FROM gives a plain value',
      )
    if (args.length !== 1 && !(args.length === 3 && as?.toUpperCase() === 'AS' && /^[a-z][\w.-]*$/i.test(name ?? '')))
      this.#note(
        instruction,
        'FROM has less or more than an image and a name for the stage',
        'Write FROM IMAGE or FROM IMAGE AS NAME',
      )
    if (image !== undefined && isReference(image) && image !== 'scratch' && !this.#stages.has(image)) {
      const platform = instruction.flags.find((flag) => flag.name === 'platform')?.value
      const known = platform === undefined ? undefined : this.#variables.expand(platform)
      const isIncomplete = this.#variables.lacks(written)
      this.images.push({ line: instruction.line, reference: image, kind: 'from', platform: known, isIncomplete })
    }
    if (as?.toUpperCase() === 'AS' && name !== undefined)
      this.#stages.set(unquoteWord(name).toLowerCase(), this.#stageCount)
    this.#stageCount += 1
  }

  #copyFrom(instruction: Instruction, from: string | undefined): void {
    if (from !== undefined && /^[+-]?\d+$/.test(from)) {
      const isStage = /^(0|[1-9]\d*)$/.test(from) && Number(from) < this.#stageCount - 1
      if (!isStage) this.#note(instruction, `There is no stage ${quote(from)} above this one`, stageHint)
      return
    }
    this.#stageOrImage(instruction, from ?? '', 'copy')
  }

  #stageOrImage(instruction: Instruction, name: string, kind: 'copy' | 'mount'): void {
    if (name === 'scratch' || this.#stages.has(name.toLowerCase())) return
    if (!isReference(name)) {
      this.#note(instruction, `It can't be told which image or stage ${quote(name)} is`, stageHint)
      return
    }
    this.images.push({ line: instruction.line, reference: name, kind: instruction.isTrigger ? 'onbuild' : kind })
  }

  #sources(instruction: Instruction): void {
    const { remotes, problems } = readSources(instruction)
    for (const url of remotes) this.remotes.push({ line: instruction.line, url })
    for (const { message, hint } of problems) this.#note(instruction, message, hint)
  }

  #note({ line }: Instruction, message: string, hint?: string): void {
    this.unclear.push({ line, message, ...(hint === undefined ? {} : { hint }) })
  }
}

const stageHint =
  'Name the stage (FROM … AS NAME) and write that name, or the plain name of an image, without variables'

/** A name of an image as it is written plainly; whether there can be such an image is for the engine to say. */
function isReference(text: string): boolean {
  return /^[A-Za-z0-9][\w./:@-]*$/.test(text) && !odd.test(text)
}
