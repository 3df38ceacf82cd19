/** Words as the builder's shell splits them: by blanks outside of quotes. The quotes stay. */
export function words(text: string): string[] {
  return text.match(word) ?? []
}

const word = /(?:"(?:\\.|[^"\\])*"|'[^']*'|\\.|[^\s"'\\]|["'\\])+/gs

export function unquoteWord(text: string): string {
  return text.replace(/["']/g, '')
}

/** The keys that a `LABEL` instruction sets, as far as they stand in the text; none for any other instruction. */
export function labelKeys(instruction: string): readonly string[] {
  const [keyword, ...rest] = words(instruction.replace(/^onbuild\s+/i, ''))
  if (keyword?.toUpperCase() !== 'LABEL') return []
  // Without a `=` in its first word, this is the old form of one label: LABEL key value
  const pairs = rest[0]?.includes('=') ? rest : rest.slice(0, 1)
  return pairs.map((pair) => unquoteWord(pair.split('=', 1)[0] ?? ''))
}

/** What the builder takes for blanks; JavaScript has one more (U+FEFF) and one less (U+0085). */
const blanks = new Set(
  '\t\n\v\f\r \u0085\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000',
)

/** Without the blanks around it, whatever the builder takes for one. In a time that grows as the text does. */
export function trimmed(text: string): string {
  let end = text.length
  while (end > 0 && blanks.has(text[end - 1] ?? '')) end -= 1
  return text.slice(firstOther(text), end)
}

/** The index of the first character that the builder takes for no blank; the length if there is none. */
export function firstOther(text: string): number {
  let index = 0
  while (index < text.length && blanks.has(text[index] ?? '')) index += 1
  return index
}

/** Without the spaces and tabs around it. */
export function withoutBlanks(text: string): string {
  let start = 0
  let end = text.length
  while (end > 0 && isBlank(text[end - 1])) end -= 1
  while (start < end && isBlank(text[start])) start += 1
  return text.slice(start, end)
}

export function isBlank(character: string | undefined): boolean {
  return character === ' ' || character === '\t'
}

/** Control and format characters, and blanks other than space and tab: what a person can't see, or sees as something else. */
export const odd: RegExp = /[^\P{Cc}\t]|\p{Cf}|\p{Cs}|[^\P{Z} ]/u
