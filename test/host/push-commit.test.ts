import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { appendFile, writeFile } from 'node:fs/promises'
import http from 'node:http'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import type { ReleaseInfo } from '../../src/deploy/releases.ts'
import { compiledProgram } from '../support/compiled.ts'
import { initWith, quick, socketOf, startDaemon } from '../support/daemon.ts'
import { userKeyOf } from '../support/keys.ts'
import { type World, world } from '../support/world.ts'

test('releases say which commit they came from', async (t) => {
  const w = await world(t, { program: await compiledProgram(t) })
  await initWith(w, quick)
  await w.ok(['server', 'key', 'add', await userKeyOf(w.home)])
  await startDaemon(t, w)
  const server = socketOf(w)
  const directory = await w.service('web', { directives: ['scale=1'] })
  const git = (...args: string[]): string =>
    execFileSync('git', ['-c', 'user.name=x', '-c', 'user.email=x@x', ...args], { cwd: directory, encoding: 'utf8' })
  git('init', '-q')
  git('add', '.')
  git('commit', '-qm', 'one')
  const one = git('rev-parse', 'HEAD').trim()

  await w.ok(['push', server, directory])
  await appendFile(join(directory, 'Dockerfile'), 'ENV TWO=2\n')
  await w.ok(['push', server, directory])
  await w.ok(['server', 'rollback', 'web'])
  await w.ok(['server', 'restart', 'web'])
  git('commit', '-qam', 'two')
  const two = git('rev-parse', 'HEAD').trim()
  await w.deploy(directory)
  // A server of a version before does not say that it takes one.
  await w.ok(['push', await withoutNews(t, w), directory])

  const wanted = [
    undefined,
    { id: two, changed: false },
    { id: one, changed: false },
    { id: one, changed: false },
    { id: one, changed: true },
    { id: one, changed: false },
  ]
  const commits = async (command: readonly string[]): Promise<unknown> => {
    const { stdout } = await w.ok([...command, '--json'])
    return (JSON.parse(stdout) as { releases: ReleaseInfo[] }).releases.map(({ commit }) => commit)
  }
  assert.deepEqual(await commits(['server', 'releases', 'web']), wanted)
  assert.deepEqual(await commits(['releases', server, 'web']), wanted)
  const { stdout } = await w.ok(['releases', server, 'web'])
  assert.match(stdout, new RegExp(`^r2 .* ${one.slice(0, 12)} \\(changed\\) `, 'm'))
  assert.match(stdout, new RegExp(`^r5 .* ${two.slice(0, 12)}  `, 'm'))

  // Whatever is written into the file is shown as text, or not at all.
  const history = join(w.home, '_mypaas', 'services', 'web', 'history.jsonl')
  await writeFile(
    history,
    `${JSON.stringify({ release: 6, action: 'deploy', from: 'x', who: 'x', at: '', outcome: 'live', commit: { id: '\u001b[2J', changed: true } })}\n`,
  )
  const shown = await w.ok(['releases', server, 'web'])
  assert.ok(!shown.stdout.includes('\u001b'), shown.stdout)
})

/** A way to the daemon on which a challenge says no more than it did in the version before. */
async function withoutNews(t: TestContext, w: World): Promise<string> {
  const path = join(w.home, 'older.sock')
  const daemon = join(w.home, '_mypaas', 'daemon.sock')
  const proxy = http.createServer((request, response) => {
    const { method, url, headers } = request
    const isChallenge = url === '/v1/challenge'
    const inner = http.request({ socketPath: daemon, method, path: url, headers }, async (answer) => {
      if (!isChallenge) {
        response.writeHead(answer.statusCode ?? 500, answer.headers)
        answer.pipe(response)
        return
      }
      const parts: Buffer[] = []
      for await (const part of answer) parts.push(part as Buffer)
      const { takes, ...before } = JSON.parse(Buffer.concat(parts).toString())
      assert.deepEqual(takes, ['commit'])
      response.writeHead(answer.statusCode ?? 500, { 'content-type': 'application/json' }).end(JSON.stringify(before))
    })
    request.pipe(inner)
  })
  await new Promise<void>((resolve) => proxy.listen(path, resolve))
  t.after(() => {
    proxy.closeAllConnections()
    proxy.close()
  })
  return `unix:${path}`
}
