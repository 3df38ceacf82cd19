import assert from 'node:assert/strict'
import { isDeepStrictEqual } from 'node:util'
import { MypaasError } from '../../src/errors.ts'
import { setKey, tomlText, unsetKey } from '../../src/server/config-text.ts'
import { parseToml } from '../../src/server/toml.ts'
import { seeded } from './seeded.ts'
import { type TomlDocument, tomlDocument, type Written } from './toml-documents.ts'

/** An edit that was made, for another parser to judge. */
export type Edited = Readonly<{ before: string; after: string; path: readonly string[]; value: string | undefined }>

type Kind = 'replaced' | 'added' | 'removed' | 'refused'

/**
 * Makes one edit of a generated document, and checks it: exactly the key differs, every other byte is the same, and what is
 * refused can't be. @returns nothing for a document that is no TOML
 */
export function tryEdit(seed: number): (Edited & Readonly<{ kind: Kind }>) | undefined {
  const document = tomlDocument(seed)
  const before = document.text
  const root = parsed(before)
  if (root === undefined) return undefined
  const random = seeded(seed + 0x5eed)
  const addressed = document.written.filter(isAddressed).filter(({ path }) => isThere(root, path))
  const path = (random() < 0.7 ? pick(random, addressed)?.path : undefined) ?? newPath(random, document)
  const target = addressed.find((written) => isDeepStrictEqual(written.path, path))
  const value = target && random() < 0.4 ? undefined : pick(random, ['new', '"\n\\', 'é', ']\n[env]\n'])
  const table = path.slice(0, -1)
  const key = path.at(-1) ?? ''
  const where = `seed ${seed}: ${JSON.stringify(path)} of ${JSON.stringify(before)}`
  let after: string
  try {
    after = value === undefined ? unsetKey(before, table, key) : setKey(before, table, key, tomlText(value))
  } catch (error) {
    assert.ok(error instanceof MypaasError && /^config\.toml:\d+: /.test(error.message), `${where}: ${error}`)
    assert.ok(!canBeSet(root, path), `${where} is refused`)
    return { before, after: before, path, value, kind: 'refused' }
  }
  assert.deepEqual(parsed(after), changed(root, path, value), where)
  if (target && value !== undefined) {
    assert.equal(after, before.slice(0, target.value.start) + tomlText(value) + before.slice(target.value.end), where)
    return { before, after, path, value, kind: 'replaced' }
  }
  if (target) {
    assertRemoved(before, after, target, where)
    return { before, after, path, value, kind: 'removed' }
  }
  const added = inserted(before, after)
  assert.ok(added?.includes(tomlText(value ?? '')), where)
  return { before, after, path, value, kind: 'added' }
}

function assertRemoved(before: string, after: string, { lines, key, value, parts }: Written, where: string): void {
  const without = lines && before.slice(0, lines.start) + before.slice(lines.end)
  if (after === without) return
  const emptied = /^.{1,200} = \{\}$/su
  const written = after.slice(key.start, after.length - (before.length - value.end))
  const rest = before.slice(0, key.start) + written + before.slice(value.end)
  // A table that only this key made is written out.
  if (parts > 1 && after === rest && emptied.test(written)) return
  assert.equal(lines, undefined, where)
  const gone = inserted(after, before) ?? ''
  assert.ok(gone.length <= value.end - key.start + 4 && gone.includes(before.slice(value.start, value.end)), where)
}

/** What stands in the longer text and not in the shorter one, if that is all that differs. */
function inserted(shorter: string, longer: string): string | undefined {
  let start = 0
  while (start < shorter.length && shorter[start] === longer[start]) start += 1
  const end = longer.length - (shorter.length - start)
  return longer.slice(end) === shorter.slice(start) ? longer.slice(start, end) : undefined
}

type Addressed = Written & { path: readonly string[] }

function isAddressed(written: Written): written is Addressed {
  return written.path !== undefined
}

function newPath(random: () => number, { written, tables }: TomlDocument): readonly string[] {
  const within = [
    ...tables,
    ...written.filter(isAddressed).map(({ path }) => path),
    ['env'],
    ['services', 'new.one', 'env'],
  ]
  const whole = pick(random, within) ?? []
  const table = whole.slice(0, 1 + Math.floor(random() * whole.length))
  return [...table, pick(random, ['NEW', 'spring.datasource.password', 'a b', '"', 'A', '']) ?? '']
}

/** Whether there is a place for a key: only tables lead to it, and it is none itself. */
function canBeSet(root: unknown, path: readonly string[]): boolean {
  let found = root
  for (const name of path) {
    if (found === undefined) return true
    if (!isTable(found)) return false
    found = Object.hasOwn(found, name) ? found[name] : undefined
  }
  return !isTable(found) && !Array.isArray(found)
}

/** In the last table of `[[tables]]` nothing has a path of its own. */
function isThere(root: unknown, [first, ...rest]: readonly string[]): boolean {
  if (first === undefined) return root !== undefined
  return isTable(root) && Object.hasOwn(root, first) && isThere(root[first], rest)
}

function changed(root: unknown, [first = '', ...rest]: readonly string[], value: string | undefined): unknown {
  const table = isTable(root) ? root : {}
  const { [first]: inner, ...others } = table
  if (rest.length > 0) return { ...others, [first]: changed(Object.hasOwn(table, first) ? inner : {}, rest, value) }
  return value === undefined ? others : { ...others, [first]: value }
}

function parsed(text: string): unknown {
  try {
    return plain(parseToml(text))
  } catch (error) {
    if (error instanceof MypaasError) return undefined
    throw error
  }
}

function plain(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(plain)
  if (!isTable(value)) return value
  if ('toISOString' in value) return String(value)
  return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, plain(one)]))
}

function isTable(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function pick<T>(random: () => number, from: readonly T[]): T | undefined {
  return from[Math.floor(random() * from.length)]
}
