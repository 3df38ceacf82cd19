import { posix } from 'node:path'

/** A path of pieces that servers read in different ways, mostly below one of `prefixes`. */
export function oddPath(random: () => number, prefixes: readonly string[]): string {
  const pick = <T>(items: readonly T[]): T => items[Math.floor(random() * items.length)] as T
  const begin = random() < 0.7 ? pick(prefixes) : ''
  const path = begin + Array.from({ length: 1 + Math.floor(random() * 7) }, () => pick(pieces)).join('')
  return path.startsWith('/') ? path : `/${path}`
}

const pieces = [
  ...['/', '/', '/', '//', '%2f', '%2F', '\\', '%5c', '%5C', '%252f', '%255c'],
  ...['..', '..', '.', '...', '%2e', '%2E', '%2e%2E', '.%2e', '%252e%252e', '%25252e.', '..;', '..;v=1', '.;'],
  ...[';', ';x', '%3b', '%253B', '%3f', '%23', '%20', '%25', '%7e', '%41', '%c3%a9', '%c0%ae', '%09'],
  ...[
    'a',
    'b.c',
    'docs',
    'public',
    'app',
    'admin',
    '|',
    '{x}',
    '^',
    '+',
    '@',
    '!',
    "'",
    '(',
    '[',
    ':',
    '&',
    '=',
    ',',
    '*',
    '2e',
    '2f',
  ],
]

/**
 * A path as the router passes it on: what is encoded without need is decoded, digits are in capitals. One with a character
 * that no path can have as such is decoded and encoded anew as a whole.
 */
export function passedOn(path: string): string {
  if (/[^\w.~!$&'()*+,;=:@[\]%/-]/.test(path)) return encodedAnew(Buffer.from(decoded(path), 'latin1'))
  return path.replace(/%[0-9a-f]{2}/gi, (code) => {
    const character = decoded(code)
    return /[\w.~-]/.test(character) ? character : code.toUpperCase()
  })
}

function encodedAnew(bytes: Buffer): string {
  return [...bytes]
    .map((byte) => {
      const character = String.fromCharCode(byte)
      return /[\w.~$&+,/:;=@-]/.test(character) ? character : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`
    })
    .join('')
}

/** How servers read a path, each in its way; what they decode they decode as bytes. */
export const readers: Readonly<Record<string, (path: string) => string>> = {
  asWritten: (path) => path,
  browser: (path) => new URL(`http://x.test${path}`).pathname,
  resolved: (path) => posix.normalize(path),
  decodedOnce: (path) => posix.normalize(decoded(path)),
  decodedTwice: (path) => posix.normalize(decoded(decoded(path))),
  decodedAll: (path) => posix.normalize(fully(path)),
  backslashes: (path) => posix.normalize(decoded(path).replaceAll('\\', '/')),
  parametersFirst: (path) => posix.normalize(decoded(path.replace(/;[^/]*/g, ''))),
  parametersLast: (path) => posix.normalize(decoded(path).replace(/;[^/]*/g, '')),
  everything: (path) =>
    posix.normalize(
      fully(path)
        .replaceAll('\\', '/')
        .replace(/;[^/]*/g, ''),
    ),
  upToQuery: (path) => posix.normalize(decoded(path).replace(/[?#].*/s, '')),
}

/** Whether a path has a segment that leads up, for anybody. */
export function climbs(path: string): boolean {
  const plain = fully(path).replaceAll('\\', '/')
  return plain.split('/').some((segment) => segment.replace(/[;?#].*/s, '') === '..')
}

export function isBelow(path: string, prefix: string): boolean {
  return path === prefix || path.startsWith(`${prefix}/`)
}

function fully(path: string): string {
  const next = decoded(path)
  return next === path ? path : fully(next)
}

/** Percent signs that encode nothing stay. */
function decoded(text: string): string {
  return text.replace(/%([0-9a-f]{2})/gi, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 16)))
}
