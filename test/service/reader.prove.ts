import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { suite, type TestContext, test } from 'node:test'
import { type LimitedReading, readLimited } from '../../src/service/dockerfile.ts'
import { mutatedDockerfile } from '../support/dockerfiles.ts'
import { oracle } from '../support/go.ts'
import { seeded } from '../support/seeded.ts'

const seed = Number(process.env['PROVE_SEED'] ?? 1)
const corpus = process.env['PROVE_CORPUS'] ?? ''

suite('the reader of limited keys against BuildKit', () => {
  test('of 120,000 changed Dockerfiles that BuildKit parses, none names an image that is neither seen nor refused', async (t) => {
    const builders = await startBuilders(t)
    const random = seeded(seed)
    const counts = { files: 0, parsed: 0, taken: 0, 'taken with images': 0, refused: 0, missed: 0 }
    /** Refusals without which a builder would have got something unseen. */
    const held = new Map<string, number>()
    while (counts.parsed < 120_000) {
      const files = Array.from({ length: 500 }, () => Buffer.from(mutatedDockerfile(random), 'latin1'))
      for (const { file, reading, words } of await compare(builders, files)) {
        counts.files += 1
        if (!words.some(({ parses }) => parses)) continue
        counts.parsed += 1
        const missed = words.flatMap((word) => missedBy(reading, word))
        if (reading.problems.length > 0) {
          counts.refused += 1
          const kinds = new Set(reading.problems.map(({ message }) => message.replace(/".*"/s, '…')))
          const [kind = ''] = kinds
          if (missed.length > 0 && kinds.size === 1) held.set(kind, (held.get(kind) ?? 0) + 1)
          continue
        }
        counts.taken += 1
        if (reading.images.length > 0) counts['taken with images'] += 1
        if (missed.length > 0) counts.missed += 1
        assert.deepEqual(missed, [], `seed ${seed}: ${JSON.stringify(file.toString('latin1'))}`)
      }
    }
    t.diagnostic(`seed ${seed}: ${show(Object.entries(counts))}`)
    t.diagnostic(`refused, and else missed: ${show([...held].sort((a, b) => b[1] - a[1]))}`)
    const sum = [...held.values()].reduce((a, b) => a + b, 0)
    assert.ok(sum > 1_000, `the changes are aimed: ${sum} files would have been missed without a refusal`)
    assert.ok(counts['taken with images'] > 10_000)
  })

  test('at least 98 of 100 Dockerfiles of others are taken, and nothing in them is missed', {
    skip: corpus === '' && 'no directory of Dockerfiles was given: ./scripts/prove reader --corpus DIR',
  }, async (t) => {
    const names = readdirSync(corpus)
    const files = names.map((name) => readFileSync(join(corpus, name)))
    const counts = { files: 0, taken: 0, 'not parsed by BuildKit': 0 }
    const builders = await startBuilders(t)
    for (const [index, { reading, words }] of (await compare(builders, files)).entries()) {
      const [first] = reading.problems
      if (!words.some(({ parses }) => parses)) counts['not parsed by BuildKit'] += 1
      else {
        counts.files += 1
        if (first) t.diagnostic(`refused ${names[index]}:${first.line}: ${first.message}`)
        else {
          counts.taken += 1
          assert.deepEqual(
            words.flatMap((word) => missedBy(reading, word)),
            [],
            names[index],
          )
        }
      }
    }
    t.diagnostic(`${show(Object.entries(counts))}, ${((100 * counts.taken) / counts.files).toFixed(1)} %`)
    assert.ok(counts.files >= 300, 'enough files to say something')
    assert.ok(counts.taken >= 0.98 * counts.files)
  })
})

/** What a builder reads in a Dockerfile: `missed` are images that it would get and that were not among the seen. */
type BuilderWord = Readonly<{
  parses: boolean
  missed: readonly string[] | null
  remotes: readonly string[] | null
  panic?: string
}>

type Question = Readonly<{ dockerfile: string; images: readonly string[] }>

type Builder = (questions: readonly Question[]) => Promise<BuilderWord[]>

/** The newest BuildKit, and that of dockerd 20.10, which knows no here-documents. */
function startBuilders(t: TestContext): Promise<Builder[]> {
  return Promise.all(
    ['buildkit', 'buildkit-2020'].map(async (name): Promise<Builder> => {
      const child = spawn(await oracle(t, name), { stdio: ['pipe', 'pipe', 'ignore'] })
      t.after(() => child.kill())
      const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
      return async (questions) => {
        const asked = (async () => {
          for (const question of questions) {
            if (!child.stdin.write(`${JSON.stringify(question)}\n`))
              await new Promise((resolve) => child.stdin.once('drain', resolve))
          }
        })()
        const words: BuilderWord[] = []
        while (words.length < questions.length) {
          const { value, done } = await lines.next()
          assert.ok(!done, `${name} ended at file ${words.length} of ${questions.length}`)
          words.push(JSON.parse(value) as BuilderWord)
        }
        await asked
        return words
      }
    }),
  )
}

type Compared = Readonly<{ file: Buffer; reading: LimitedReading; words: readonly BuilderWord[] }>

async function compare(builders: readonly Builder[], files: readonly Buffer[]): Promise<Compared[]> {
  const readings = files.map((file) => readLimited(file.toString()))
  const asked = files.map((file, index) => ({
    dockerfile: file.toString('base64'),
    images: (readings[index]?.images ?? []).map(({ reference }) => reference),
  }))
  const answers = await Promise.all(builders.map((builder) => builder(asked)))
  return files.map((file, index) => {
    const words = answers.map((answer) => answer[index] as BuilderWord)
    for (const { panic } of words) assert.equal(panic, undefined, JSON.stringify(file.toString('latin1')))
    return { file, reading: readings[index] as LimitedReading, words }
  })
}

/** What a builder would get from elsewhere and the reader did not see. Docker's own frontend is everybody's. */
function missedBy(reading: LimitedReading, { missed, remotes }: BuilderWord): string[] {
  const images = (missed ?? []).filter((image) => !/^syntax docker\.io\/docker\/dockerfile:[\w.-]+$/.test(image))
  const seen = reading.remotes.map(({ url }) => url)
  return [...images, ...(remotes ?? []).filter((remote) => !seen.some((url) => isSame(url, remote)))]
}

/** The builder writes addresses of git in its own way, and puts in the values of variables. */
function isSame(url: string, remote: string): boolean {
  const host = (text: string): string | undefined => /^(?:[a-z]+:\/\/)?(?:[^/@]*@)?([^/:]+)/.exec(text)?.[1]
  return url === remote || host(url) === host(remote)
}

function show(counts: readonly (readonly [string, number])[]): string {
  return counts.map(([what, count]) => `${count} ${what}`).join(', ')
}
