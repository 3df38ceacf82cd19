import assert from 'node:assert/strict'
import { test } from 'node:test'
import { baseImages, readLimited } from '../../src/service/dockerfile.ts'
import { parseSpec } from '../../src/service/parse.ts'
import { DirectiveError } from '../../src/service/problems.ts'

const start = '# mypaas.service = x\nFROM scratch\n'
const many = (count: number, line: (n: number) => string): string =>
  Array.from({ length: count }, (_, n) => `${line(n)}\n`).join('')

/** As many lines as go into the largest Dockerfile. */
function full(line: (n: number) => string): string {
  let text = start
  for (let n = 0; ; n += 1) {
    const next = `${line(n)}\n`
    if (text.length + next.length > 1024 * 1024) return text
    text += next
  }
}

function refusal(dockerfile: string): DirectiveError {
  try {
    parseSpec(dockerfile)
  } catch (error) {
    if (error instanceof DirectiveError) return error
    throw error
  }
  throw new Error('It was taken.')
}

test('a Dockerfile of more than 1 MiB is refused, one of 1 MiB is not', () => {
  const text = (bytes: number): string => `${start}#${'ä'.repeat((bytes - start.length - 2) / 2)}\n`
  assert.equal(parseSpec(text(1024 * 1024)).service, 'x')
  assert.match(refusal(text(1024 * 1024 + 2)).message, /^Dockerfile:1: The file has 1\.0 MiB, at most 1 MiB is read/)
})

for (const [key, max, line] of [
  ['volume', 100, (n: number) => `# mypaas.volume = ~/x/${n}:/v${n}`],
  ['url', 100, (n: number) => `# mypaas.url = https://x${n}.example.com`],
  ['env', 1000, (n: number) => `# mypaas.env = A${n}=1`],
] as const) {
  test(`more than ${max} ${key} lines are refused, with the first that is too many`, () => {
    const spec = parseSpec(`${start}${many(max, line)}`)
    assert.equal(key === 'env' ? spec.env.length : key === 'url' ? spec.urls.length : spec.volumes.length, max)
    assert.deepEqual(refusal(`${start}${many(max + 50, line)}`).problems, [
      {
        line: max + 3,
        message: `mypaas.${key}: with this line there are more than ${max} of them`,
        hint: 'Leave some out',
      },
    ])
  })
}

test('a volume with a path that is too long to be followed is refused', () => {
  assert.match(refusal(`${start}# mypaas.volume = ~/${'a/'.repeat(600)}:/v\n`).message, /has more than 1024 characters/)
})

test('a guess is made for some unknown directives, not for thousands', () => {
  const { problems, message } = refusal(`${start}${many(15_000, (n) => `# mypaas.unknown${n}${'y'.repeat(30)} = 1`)}`)
  assert.equal(problems.length, 15_000)
  assert.equal(problems.filter(({ hint }) => hint?.startsWith('Did you mean')).length, 20)
  assert.match(message, /and 14900 more$/)
  // The same one again is no guess more.
  const same = refusal(`${start}${many(30, () => '# mypaas.volumes = ~/x:/x')}`)
  assert.equal(same.problems.filter(({ hint }) => hint?.startsWith('Did you mean mypaas.volume?')).length, 30)
})

test('ARGs that make one another longer end as a name that can not be told', () => {
  const bomb = `ARG A0=aaaaaaaaaa\n${many(18, (n) => `ARG A${n + 1}=$A${n}$A${n}$A${n}$A${n}`)}FROM $A17\n`
  assert.deepEqual(baseImages(bomb), [])
  const { images, problems } = readLimited(bomb)
  assert.deepEqual(images, [])
  assert.deepEqual(
    problems.map(({ line, message }) => [line, message]),
    [[20, 'It can\'t be told which image "$A17" is']],
  )
  // Nor do many values of the allowed length fill the memory.
  const wide = `ARG A=${'a'.repeat(4000)}\n${many(20, (n) => `ARG B${n}=$A`)}FROM $B19\n`
  assert.equal(readLimited(wide).problems.length, 1)
})

test('the largest Dockerfiles are read in a moment, whatever is in them', { timeout: 60_000 }, () => {
  for (const text of [
    full((n) => `# mypaas.volume = ~/x/${n}:/v${n}`),
    full((n) => `# mypaas.unknown${n} = 1`),
    full((n) => `# mypaas.publish = ${n}:80`),
    full((n) => `RUN <<E${n}\na\nE${n}`),
    full((n) => `FROM victim:r${n}`),
    full((n) => `ADD http://h${n}.example.com/a /`),
    full((n) => `ARG A${n}=$A${n - 1}`).replace('FROM scratch', 'ARG A=1'),
  ]) {
    const begin = performance.now()
    try {
      parseSpec(text)
    } catch (error) {
      assert.ok(error instanceof DirectiveError)
    }
    readLimited(text)
    baseImages(text)
    assert.ok(performance.now() - begin < 10_000, text.slice(0, 200))
  }
})
