import { type Problem, quote } from '../problems.ts'
import { instructionNames } from './here-documents.ts'
import type { Line } from './scan.ts'
import { isBlank, odd, unquoteWord, withoutBlanks } from './words.ts'

/** `--name=value`; without a value where there is no `=`. */
export type Flag = Readonly<{ name: string; value: string | undefined }>

/** An instruction that may name an image, or the values in the name of one. */
export type Instruction = Readonly<{
  line: number
  /** In upper case; empty if it begins with none. */
  keyword: string
  flags: readonly Flag[]
  /** What stands behind the flags. */
  rest: string
  /** It stands behind ONBUILD: it is for those that build on this image, or on this stage. */
  isTrigger: boolean
}>

/**
 * Reads an instruction as far as images go: those of others keep everything behind their name in `rest`.
 * @param unclear Gets what builders may read otherwise.
 */
export function readInstruction({ line, text }: Line, unclear: Problem[], isTrigger = false): Instruction {
  const note = (message: string, hint: string): void => {
    if (unclear.length <= enough) unclear.push({ line, message, hint })
  }
  const written = /^[A-Za-z]*/.exec(text)?.[0] ?? ''
  const keyword = written.toUpperCase()
  const behind = text[written.length]
  if (!instructionNames.has(keyword) || (behind !== undefined && !isBlank(behind)))
    note(`${quote(text.split(/[ \t]/, 1)[0] ?? '')} is no instruction`, 'Begin the line with one: RUN, COPY …')
  const allowed = flagsOf[keyword]
  const rest = withoutBlanks(text.slice(written.length))
  if (allowed === undefined) return { line, keyword, flags: [], rest, isTrigger }

  const read = readFlags(rest, note)
  const seen = new Set<string>()
  for (const flag of read.flags) {
    const { name } = flag
    if (unclear.length > enough) break
    if (read.unplain.has(flag)) continue
    if (!allowed.includes(name) && !allowed.includes(`${name}…`))
      note(
        `${keyword} has the flag ${quote(`--${name}`)}, which is not known here`,
        `Its flags are: ${allowed.map((known) => `--${known.replace('…', '')}`).join(', ') || 'none'}`,
      )
    if (seen.has(name) && !allowed.includes(`${name}…`))
      note(`The flag --${name} stands twice`, 'Leave one of them out')
    seen.add(name)
  }
  if (keyword === 'ONBUILD') {
    if (isTrigger || /^(onbuild|from|maintainer)\b/i.test(read.rest))
      note(`ONBUILD can't have ${quote(read.rest.split(/\s/, 1)[0] ?? '')}`, 'Give it RUN, COPY or ADD')
    return isTrigger
      ? { line, keyword, flags: [], rest: '', isTrigger }
      : readInstruction({ line, text: read.rest }, unclear, true)
  }
  if (/^[^!-~]/.test(read.rest) || /^["'\\`]+-/.test(read.rest) || (keyword !== 'RUN' && odd.test(read.rest)))
    note(
      `${keyword} has quotes, backslashes or characters that are not seen where names or flags stand`,
      'Write them plain, with spaces between',
    )
  if ((keyword === 'COPY' || keyword === 'ADD') && /[ \t]--[a-z]/.test(` ${read.rest}`))
    note(`${keyword} has a flag behind what it copies`, 'Write the flags first')
  return { line, keyword, flags: read.flags, rest: read.rest, isTrigger }
}

/** More problems than anybody reads; a file of 400 kB could have as many lines of them. */
const enough = 1000

/** The flags that instructions may have here; those with `…` more than once. */
const flagsOf: Readonly<Record<string, readonly string[]>> = {
  ADD: ['chown', 'chmod', 'link', 'checksum', 'keep-git-dir', 'unpack', 'exclude…'],
  ARG: [],
  COPY: ['from', 'chown', 'chmod', 'link', 'parents', 'exclude…'],
  FROM: ['platform'],
  ONBUILD: [],
  RUN: ['mount…', 'network', 'security', 'device…'],
}

function readFlags(
  text: string,
  note: (message: string, hint: string) => void,
): { flags: readonly Flag[]; unplain: ReadonlySet<Flag>; rest: string } {
  const flags: Flag[] = []
  const unplain = new Set<Flag>()
  let rest = text
  while (rest.startsWith('--')) {
    const word = /^(?:"(?:\\.|[^"\\])*"|'[^']*'|\\.|[^\s"'\\]|["'\\])+/s.exec(rest)?.[0] ?? rest
    const isPlain = /^--[a-z-]+(=[!#-&(-[\]-_a-~]+)?$|^--(?!from=|mount=)[a-z-]+="[!#-&(-[\]-_a-~]+"$/.test(word)
    if (!isPlain)
      note(`The flag ${quote(word)} is not plain`, 'Write --name=value, without quotes, backslashes and blanks')
    const [name = '', ...value] = unquoteWord(word.slice(2)).split('=')
    const flag: Flag = { name, value: value.length === 0 ? undefined : value.join('=') }
    flags.push(flag)
    if (!isPlain) unplain.add(flag)
    const behind = rest.slice(word.length)
    rest = withoutBlanks(behind)
    if (behind !== '' && !isBlank(behind[0])) {
      note('There is something else than a space behind a flag', 'Write a space there')
      rest = behind.slice(1)
    }
  }
  return { flags, unplain, rest }
}
