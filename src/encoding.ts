import { MypaasError } from './errors.ts'

/**
 * What a person wrote, as text. UTF-8 is meant everywhere; a byte order mark in front stays where it is, and bytes that are
 * no UTF-8 become `U+FFFD`.
 * @param shown what errors call the file
 * @throws {MypaasError} of the given code for UTF-16, with what to do
 */
export function textOf(bytes: Buffer, shown: string, code: 'usage' | 'context'): string {
  const encoding = wideEncoding(bytes)
  if (encoding === undefined) return bytes.toString('utf8')
  throw new MypaasError(`${shown} is in UTF-16, as some editors and > of PowerShell write it.`, {
    code,
    hint: `Save it as UTF-8, for example: iconv -f ${encoding} -t UTF-8 FILE > NEW && mv NEW FILE`,
  })
}

/** The line, from 1, of the first bytes that are no UTF-8; `undefined` for text. */
export function lineNotUtf8(bytes: Buffer): number | undefined {
  const again = Buffer.from(bytes.toString('utf8'))
  if (again.equals(bytes)) return undefined
  const at = again.findIndex((byte, index) => byte !== bytes[index])
  return bytes.toString('latin1', 0, at).split('\n').length
}

/** What is wrong with a line, other than the first, that begins with `U+FEFF`. */
export const strayMark = 'a byte order mark stands here, where two files were put together'

/** How to take it out. */
export function withoutMark(file: string, line: number | string): string {
  return `Remove it: sed -i '${line}s/\\xEF\\xBB\\xBF//' ${file}`
}

/** As `iconv` calls it. Text that begins with ASCII has a zero byte in one of its first two places, then. */
function wideEncoding([first = 1, second = 1]: Buffer): string | undefined {
  if ((first === 0xff && second === 0xfe) || (first === 0xfe && second === 0xff)) return 'UTF-16'
  if (first !== 0 && second === 0) return 'UTF-16LE'
  return first === 0 && second !== 0 ? 'UTF-16BE' : undefined
}
