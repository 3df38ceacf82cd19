import { MypaasError } from '../errors.ts'
import { type Directive, noText } from './directives.ts'
import { anyHome } from './home.ts'
import { directivesFromSpec, specFromDirectives } from './parse.ts'
import { quote } from './problems.ts'
import type { ServiceSpec } from './spec.ts'

/** The label of an image that has the spec it was built for. Containers inherit it, so theirs have other names. */
export const specLabel = 'mypaas.image.spec'

const version = 1

/**
 * The labels for an image, so that its release can be run again without its Dockerfile. The values of secrets are not
 * in a spec, so they are not in here. The label's value is JSON: `{"version":1,"directives":[["service","blog"],…]}`.
 */
export function specToLabels(spec: ServiceSpec): Readonly<Record<string, string>> {
  const directives = directivesFromSpec(spec).map(({ key, value }) => [key, value])
  return { [specLabel]: JSON.stringify({ version, directives }) }
}

/**
 * The spec that an image was built for, checked as if it had just been read from a Dockerfile; `undefined` if the image
 * has none.
 * @throws {MypaasError} `failed`, when there is one that this version of mypaas can't follow
 */
export function specFromLabels(labels: Readonly<Record<string, string>>): ServiceSpec | undefined {
  const text = Object.hasOwn(labels, specLabel) ? labels[specLabel] : undefined
  if (text === undefined) return undefined
  const stored = readJson(text)
  if (stored === undefined) throw unreadable(`it begins with ${quote(text.slice(0, 40))}`)
  if (stored.version !== version) throw unreadable(`it has version ${quote(String(stored.version))}, not ${version}`)
  const strange = stored.directives.find(({ value }) => noText.test(value))
  if (strange) throw unreadable(`the value of ${quote(strange.key)} has characters in it that are no text`)
  const { spec, problems } = specFromDirectives({ directives: stored.directives, unread: new Set() }, anyHome)
  const [problem] = problems
  if (problem) throw unreadable(problem.message)
  return spec
}

function unreadable(why: string): MypaasError {
  return new MypaasError(`This version of mypaas can't follow the image's label ${specLabel}: ${why}.`, {
    code: 'failed',
    hint: 'The image was made by another version, or by somebody else. Deploy the service anew.',
  })
}

function readJson(text: string): { version: unknown; directives: Directive[] } | undefined {
  try {
    const value: unknown = JSON.parse(text)
    if (typeof value !== 'object' || value === null || !('version' in value)) return undefined
    const pairs = 'directives' in value && Array.isArray(value.directives) ? (value.directives as unknown[]) : []
    const directives = pairs.map((pair, index) => {
      const [key, text] = Array.isArray(pair) ? (pair as unknown[]) : []
      return { key: String(key), value: String(text), line: index + 1, quoted: true }
    })
    return { version: value.version, directives }
  } catch {
    return undefined
  }
}
