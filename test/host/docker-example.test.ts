import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { NotFoundError } from '../../src/docker/index.ts'
import { type Bench, bench } from './docker.ts'

const example = fileURLToPath(new URL('../../examples/containers.ts', import.meta.url))
let b: Bench
before(async () => {
  b = await bench('example')
})
after(() => b.close())

test('the example lists, runs, builds and follows logs, in 30 lines', async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'example-'))
  t.after(async () => {
    await rm(directory, { recursive: true })
    await b.docker.images.remove('mypaas-example', { force: true }).catch((error: unknown) => {
      if (!(error instanceof NotFoundError)) throw error
    })
  })
  await writeFile(join(directory, 'Dockerfile'), `FROM ${b.image}\nCOPY Dockerfile /\n`)
  await b.running(t)

  const { stdout } = await promisify(execFile)(process.execPath, ['--import', 'tsx', example, directory, b.image])
  assert.match(stdout, new RegExp(`^/\\S+ ${b.listed(b.image)} Up `, 'm'))
  assert.match(stdout, /^sorted: "b\\na\\n" exit code: 0$/m)
  assert.match(stdout, /^done .*COPY Dockerfile \/$/m)
  assert.match(stdout, /^1\n2\n3\nended with 0$/m)
  assert.ok((await readFile(example, 'utf8')).trimEnd().split('\n').length <= 30)
})
