import { type Message, message } from './messages.ts'

const pieces = [
  '../',
  '../../../../tmp/pwn',
  '/etc/passwd',
  '/',
  '.',
  '..',
  '~',
  '"',
  "'",
  '`',
  '$(id)',
  '\n',
  '\r\n',
  '\0',
  '\t',
  ' ',
  '"]\n[server]\nvolume_roots = ["/"]\n[x."',
  ']',
  '[',
  '=',
  '#',
  '{{',
  '}}',
  '`)||Host(`',
  '%2e%2e%2f',
  '%00',
  '\\',
  '\u202e',
  'ａ',
  '\u{1F600}',
  '__proto__',
  'constructor',
  'blog',
  'shop.api',
  'blog.json',
  'blog.lock',
  '.x',
  '-x',
  '--help',
  'x'.repeat(41),
  'y'.repeat(1500),
  '0',
  '-1',
  '1e9',
  '99999999999999999999',
  'NaN',
  'yes',
  'no',
  'null',
  '2026-01-31',
  'r1',
] as const

/** A text that somebody may hope to be taken for something else. */
export function strange(random: () => number): string {
  return Array.from({ length: 1 + Math.floor(random() * 3) }, () => pick(pieces, random)).join('')
}

/** A message with one thing or a few changed; what is signed is signed again, mostly. */
export function mutate(base: Message, random: () => number, sign: (text: string) => string): Message {
  const how = random()
  if (how < 0.1) return { ...base, path: splice(base.path, random).replace(/[^\x21-\x7e]/g, '%') }
  if (how < 0.15) return { ...base, method: pick(['GET', 'POST', 'PUT', 'DELETE', 'OPTIONS', 'HEAD'], random) }
  if (how < 0.3) return { ...base, headers: { ...base.headers, ...oddHeaders(random) } }
  if (how < 0.45) return { ...base, body: Buffer.from(splice(base.body.toString('latin1'), random), 'latin1') }
  if (how < 0.5)
    return { ...base, body: Buffer.concat([base.body, Buffer.alloc(Math.floor(random() * 2_000_000), 'x')]) }
  const fields = fieldsOf(base.body)
  if (!fields) return { ...base, body: base.body.subarray(0, Math.floor(random() * base.body.length)) }
  const statement = fields['statement']
  if (how < 0.85 && typeof statement === 'string') {
    const lines = statement.split('\n')
    const at = Math.floor(random() * lines.length)
    if (random() < 0.2) lines.splice(at, random() < 0.5 ? 1 : 0, pick(pieces, random))
    else lines[at] = splice(lines[at] ?? '', random)
    const text = lines.join('\n')
    return json(base, { ...fields, statement: text, ...(random() < 0.9 ? { signature: sign(text) } : {}) })
  }
  const name = pick([...Object.keys(fields), 'more', '__proto__', 'sealed'], random)
  const values: readonly unknown[] = [
    null,
    1,
    true,
    [],
    {},
    '',
    strange(random),
    splice(String(fields[name] ?? ''), random),
    { toString: 1 },
  ]
  return json(base, { ...fields, [name]: pick(values, random) })
}

function json(base: Message, value: unknown): Message {
  return message(base.method, base.path, JSON.stringify(value), base.headers)
}

function fieldsOf(body: Buffer): Record<string, unknown> | undefined {
  try {
    return JSON.parse(body.toString()) as Record<string, unknown>
  } catch {
    return undefined
  }
}

function splice(text: string, random: () => number): string {
  const at = Math.floor(random() * (text.length + 1))
  const kind = random()
  if (kind < 0.4) return text.slice(0, at) + strange(random) + text.slice(at)
  if (kind < 0.7) return text.slice(0, at) + text.slice(at + 1 + Math.floor(random() * 4))
  if (kind < 0.9) return text.slice(0, at) + String.fromCharCode(Math.floor(random() * 256)) + text.slice(at + 1)
  return text.slice(0, at) + text.slice(at).repeat(2)
}

function oddHeaders(random: () => number): Record<string, string> {
  return pick(
    [
      { 'content-encoding': 'gzip' },
      { 'content-type': 'text/xml; charset=utf-16' },
      { authorization: `Bearer ${'A'.repeat(Math.floor(random() * 200))}` },
      { authorization: 'Basic OjE=' },
      { 'content-length': String(Math.floor(random() * 5)) },
      { 'transfer-encoding': 'chunked' },
      { expect: '100-continue' },
      { upgrade: 'websocket', connection: 'Upgrade' },
      { 'x-forwarded-for': 'x'.repeat(5000) },
      { host: 'other.test' },
      { cookie: 'y'.repeat(20_000) },
    ],
    random,
  )
}

export function pick<T>(items: readonly T[], random: () => number): T {
  return items[Math.floor(random() * items.length)] as T
}
