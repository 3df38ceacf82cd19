import assert from 'node:assert/strict'
import { chmod, readdir, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { compiledProgram } from '../support/compiled.ts'
import { initWith, quick, socketOf } from '../support/daemon.ts'
import { userKeyOf } from '../support/keys.ts'
import { world } from '../support/world.ts'

const secret = 'sesame-open-1234'
const base64 = Buffer.from(`user:${secret}`).toString('base64')
const escapes = '\u001b]0;owned\u0007\u001b[2J\u001b[31mred'

test('what builds and apps say is shown harmless and without secrets, and kept where nobody else reads it', async (t) => {
  const w = await world(t, { program: await compiledProgram(t) })
  // A server of an older version, or one that hands set up, with no mask for what is made.
  const mask = process.umask(0)
  t.after(() => process.umask(mask))
  await initWith(w, quick)
  await w.addSecrets({ TOKEN: secret })
  await w.ok(['server', 'key', 'add', await userKeyOf(w.home)])
  const daemon = w.spawnCli(['server', 'daemon'], { timeoutMs: 600_000 })
  t.after(async () => {
    daemon.kill('SIGTERM')
    await daemon.result
  })
  await daemon.seen(/listens on \S+daemon\.sock/)
  const server = socketOf(w)
  const files = {
    'local.env': `TOKEN=${secret}\nAUTH=${base64}\n`,
    'says.mjs': `const [, , code] = process.argv
process.stdout.write(${JSON.stringify(`${escapes} ${base64} ${secret}\n`)})
if (code) setTimeout(() => process.exit(Number(code)), 300)
`,
  }
  const directives = ['url=http://says.test', 'env=TOKEN']
  const lines = ['COPY local.env says.mjs /', `RUN : ${w.instance}; cat /local.env; node /says.mjs`]
  const good = await w.service('says', { directives, files, lines })

  await t.test('the output of a build has no secret in any form, nowhere', async () => {
    const pushed = await w.ok(['push', server, good, '--verbose'])
    assert.match(pushed.stderr, /TOKEN=•••/)
    assert.match(pushed.stderr, /AUTH=dXNlcj•••/)
    assertHarmless(pushed.output)
    const json = await w.ok(['server', 'deploy', good, '--json'])
    for (const output of [pushed.output, json.output]) assertSecretless(output)
  })

  await t.test('nor has what is quoted of an app that fails; its own log is as it wrote it', async () => {
    const bad = await w.service('says', {
      directives,
      files,
      lines: [...lines, 'ENTRYPOINT ["node", "/says.mjs", "3"]'],
    })
    const pushed = await w.cli(['push', server, bad])
    assert.equal(pushed.code, 1, pushed.output)
    assert.match(pushed.stderr, /the end of the log of \S+:\n\s*│ red dXNlcj••• •••\n/)
    assertHarmless(pushed.output)
    assertSecretless(pushed.output)
    const logs = await w.ok(['logs', server, 'says'])
    assert.ok(logs.stdout.includes(`${escapes} ${base64} ${secret}\n`), logs.stdout)
  })

  await t.test('a service is told nothing by a client that only the router knows', async () => {
    const forged = { Forwarded: 'for=6.6.6.6', 'X-Mypaas-Probe': 'says-r1', 'x-mypaas-server': 'x', 'X-Own': 'stays' }
    const { headers } = (await w.request('http://says.test/', { headers: forged })).json<{ headers: object }>()
    assert.deepEqual(
      Object.keys(headers).filter((name) => /^forwarded$|mypaas|x-own/.test(name)),
      ['x-own'],
    )
  })

  await t.test('no file or folder is open to others, whatever the mask; one that was is not for long', async () => {
    const jobs = join(w.home, '_mypaas', 'push', 'jobs')
    const history = join(w.home, '_mypaas', 'services', 'says', 'history.jsonl')
    const [job] = await readdir(jobs)
    for (const file of [history, join(jobs, job as string)]) await chmod(file, 0o666)
    await w.ok(['server', 'restart', 'says'])
    daemon.kill('SIGTERM')
    await daemon.result
    const again = w.spawnCli(['server', 'daemon'], { timeoutMs: 600_000 })
    await again.seen(/listens on \S+daemon\.sock/)
    again.kill('SIGTERM')
    await again.result
    const open: string[] = []
    const seen: string[] = []
    for (const folder of ['_mypaas', '.cache/mypaas', '.config/mypaas']) {
      for (const name of ['.', ...(await readdir(join(w.home, folder), { recursive: true }))]) {
        const { mode } = await stat(join(w.home, folder, name))
        const isRouters = folder === '_mypaas' && /^traefik(?!\/acme)/.test(name)
        if ((mode & (isRouters ? 0o027 : 0o077)) !== 0) open.push(`${folder}/${name} ${(mode & 0o777).toString(8)}`)
        seen.push(join(folder, name))
      }
    }
    assert.deepEqual(open, [])
    for (const part of ['push/jobs/', 'services/says/logs/', 'push/blobs/', '.cache/mypaas/', 'known-servers.json'])
      assert.ok(
        seen.some((name) => name.includes(part)),
        `${part} is not among ${seen.join(' ')}`,
      )
    for (const name of await readdir(jobs)) assertSecretless(await readFile(join(jobs, name), 'utf8'))
  })
})

function assertSecretless(text: string): void {
  for (const form of [secret, base64.slice(8), Buffer.from(secret).toString('base64').slice(0, 12)])
    assert.ok(!text.includes(form), `${form} in ${text}`)
}

/** The command's own colours end with `m`, and are none where its output is a pipe. */
function assertHarmless(text: string): void {
  assert.doesNotMatch(text, /(?![\n\t])\p{Cc}/u)
}
