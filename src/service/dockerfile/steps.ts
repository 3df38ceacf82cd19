import { type Instruction, readInstruction } from './instruction.ts'
import { scanDockerfile } from './scan.ts'
import { words } from './words.ts'

/** An instruction, and how builders number it. */
type Placed = Pick<Instruction, 'line' | 'keyword' | 'flags' | 'rest'> &
  Readonly<{
    /** From 0; -1 above the first `FROM`. */
    stage: number
    /** As BuildKit counts in its stage, from 1; `undefined` for what is no step of its own. */
    step: number | undefined
  }>

/** What a Dockerfile has its builder do, line by line. */
export class Steps {
  readonly all: readonly Placed[]
  readonly #stages: readonly (string | undefined)[]

  constructor(dockerfile: string) {
    const stages: (string | undefined)[] = []
    let step = 0
    this.all = scanDockerfile(dockerfile).instructions.map((text) => {
      const { line, keyword, flags, rest, isTrigger } = readInstruction(text, [])
      if (keyword === 'FROM') {
        const [base = '', as, name] = words(rest)
        // A stage on another one, or on nothing, begins without a step.
        step = base === 'scratch' || stages.includes(base.toLowerCase()) ? 0 : 1
        stages.push(as?.toUpperCase() === 'AS' ? name?.toLowerCase() : undefined)
        return { line, keyword, flags, rest, stage: stages.length - 1, step: step === 0 ? undefined : 1 }
      }
      const isStep = !isTrigger && /^(?:RUN|COPY|ADD|WORKDIR)$/.test(keyword)
      if (isStep) step += 1
      return { line, keyword, flags, rest, stage: stages.length - 1, step: isStep ? step : undefined }
    })
    this.#stages = stages
  }

  /** The instruction of a step as a builder calls it: `[build 2/4] RUN make`, `Step 3/7 : RUN make`. */
  find(step: string): Placed | undefined {
    const [, classic, does] = /^Step (\d+)\/\d+ ?: (\w+)/i.exec(step) ?? []
    if (classic !== undefined) return named(this.all[Number(classic) - 1], does)
    const [, inside = '', number, keyword] = /^\[([^\]]*?)(\d+)\/\d+\] (?:LINK )?(\w+)/.exec(step) ?? []
    if (number === undefined) return undefined
    const stage = inside.trim().split(' ').at(-1) ?? ''
    const at = /^stage-(\d+)$/.exec(stage)?.[1]
    const index = at !== undefined ? Number(at) : stage === '' ? this.#stages.length - 1 : this.#stages.indexOf(stage)
    return named(
      this.all.find((one) => one.stage === index && one.step === Number(number)),
      keyword,
    )
  }
}

function named(found: Placed | undefined, keyword: string | undefined): Placed | undefined {
  return found?.keyword === keyword?.toUpperCase() ? found : undefined
}
