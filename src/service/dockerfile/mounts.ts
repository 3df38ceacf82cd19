import { type Problem, quote } from '../problems.ts'

/**
 * What the value of `RUN --mount=` says of an image, and the first thing in it that is not plain.
 * @see https://docs.docker.com/reference/dockerfile/#run---mount
 */
export function readMount(value: string): { from: string | undefined; problem: Omit<Problem, 'line'> | undefined } {
  const seen = new Set<string>()
  let problem: Omit<Problem, 'line'> | undefined
  let from: string | undefined
  for (const field of value.split(',')) {
    const at = field.indexOf('=')
    const written = at < 0 ? field : field.slice(0, at)
    const content = at < 0 ? undefined : field.slice(at + 1)
    problem ??= fieldProblem(written, content, seen)
    if (written.toLowerCase() === 'from') from = content
  }
  return { from, problem }
}

function fieldProblem(
  written: string,
  content: string | undefined,
  seen: Set<string>,
): Omit<Problem, 'line'> | undefined {
  const known = fields.get(written)
  if (known === undefined || (content === undefined && !isSwitch.has(known)) || content === '')
    return { message: `The mount has the field ${quote(written)}, which is not known here`, hint: mountHint }
  if (seen.has(known)) return { message: `The mount says its ${known} twice`, hint: 'Leave one of them out' }
  seen.add(known)
  if (known === 'type' && !/^(bind|cache|tmpfs|secret|ssh)$/.test(content ?? ''))
    return {
      message: `The mount has the type ${quote(content ?? '')}`,
      hint: 'Write bind, cache, tmpfs, secret or ssh',
    }
  return undefined
}

const mountHint =
  'Write the fields in lower case: type, from, source, target, id, sharing, size, mode, uid, gid, env, required, readonly, readwrite'

/** The fields of a mount, and those that say the same. */
const fields: ReadonlyMap<string, string> = new Map(
  Object.entries({
    type: ['type'],
    from: ['from'],
    source: ['source', 'src'],
    target: ['target', 'dst', 'destination'],
    readonly: ['readonly', 'ro', 'readwrite', 'rw'],
    required: ['required'],
    id: ['id'],
    sharing: ['sharing'],
    size: ['size'],
    mode: ['mode'],
    uid: ['uid'],
    gid: ['gid'],
    env: ['env'],
  }).flatMap(([field, spellings]) => spellings.map((spelling) => [spelling, field])),
)

/** Those that may stand without a value. */
const isSwitch = new Set(['readonly', 'required'])
