import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { test } from 'node:test'
import { compiledProgram } from '../support/compiled.ts'
import { auditLog, quick, socketOf, startDaemon } from '../support/daemon.ts'
import { userKeyOf } from '../support/keys.ts'
import { until } from '../support/until.ts'
import { type World, world } from '../support/world.ts'

test('logs, exec and run of a service over there', async (t) => {
  const program = await compiledProgram(t)
  const w = await world(t, { program })
  await w.init()
  for (const [key, value] of Object.entries(quick)) await w.set('server', key, `"${value}"`)
  const line = await userKeyOf(w.home)
  await w.ok(['server', 'key', 'add', line])
  await w.addSecrets({ TOKEN: 's3cr3t-value' })
  const directory = await w.service('web', { directives: ['url=http://web.test', 'scale=2', 'env=TOKEN'] })
  await w.deploy(directory)
  const daemon = await startDaemon(t, w)
  const server = socketOf(w)
  const say = (words: string, replica = 1): Promise<unknown> =>
    w.docker.containers.exec(`${w.instance}-web-r1-${replica}`, [
      'node',
      '-e',
      `fs.writeFileSync('/proc/1/fd/1', ${JSON.stringify(`${words}\n`)})`,
    ])

  await t.test('logs: what was written, as on the server itself', async () => {
    await say('first')
    await say('second', 2)
    const here = await w.ok(['server', 'logs', 'web', '-t'])
    const there = await w.ok(['logs', server, 'web', '-t'])
    assert.equal(there.stdout, here.stdout)
    assert.match(there.stdout, /r1-1 \| \S+Z first\n/)
    assert.match((await w.ok(['logs', server, 'web', '--tail', '1'])).stdout, /^r1-2 \| second\n$/)
    const lines = (await w.ok(['logs', server, 'web', '--replica', '2', '--since', '10m', '--json'])).stdout
    assert.deepEqual(
      lines
        .split('\n')
        .flatMap((line) => (line === '' ? [] : [(JSON.parse(line) as { text: string }).text]))
        .at(-1),
      'second',
    )
    const none = await w.cli(['logs', server, 'nothing'])
    assert.equal(none.code, 2)
    assert.match(none.stderr, /There is no service nothing here/)
  })

  await t.test('logs -f: as they come, over a redeploy and a new container, until Ctrl-C', async () => {
    const following = w.spawnCli(['logs', server, 'web', '-f', '--tail', '0'])
    await until(
      async () => {
        await say('third')
        return following.output.includes('r1-1 | third')
      },
      { what: 'the line that is written now' },
    )
    await w.deploy(directory)
    await following.seen(/r2-2 \| listening on/)
    following.kill('SIGINT')
    const { code, stderr } = await following.result
    assert.deepEqual({ code, stderr }, { code: 0, stderr: '' })
    await until(
      async () => (await auditLog(w)).some(({ action, outcome }) => action === 'logs' && outcome === 'accepted'),
      {
        what: 'a line in the audit log',
      },
    )
  })

  await t.test('logs -f goes on where it was when the daemon is restarted', async () => {
    const following = w.spawnCli(['logs', server, 'web', '-f', '--tail', '0'])
    const written = async (text: string): Promise<unknown> =>
      w.docker.containers.exec(`${w.instance}-web-r2-1`, [
        'node',
        '-e',
        `fs.writeFileSync('/proc/1/fd/1', '${text}\\n')`,
      ])
    await until(
      async () => {
        await written('before')
        return following.output.includes('before')
      },
      { what: 'the line before' },
    )
    daemon.kill('SIGTERM')
    await daemon.result
    await written('meanwhile')
    await startDaemon(t, w)
    await following.seen(/meanwhile/, 20_000)
    following.kill('SIGINT')
    const { stdout } = await following.result
    assert.equal(stdout.match(/meanwhile/g)?.length, 1)
  })

  await t.test('logs into a pipe that is closed end quietly', async () => {
    const { code, stderr } = await shell(w, `${cli(program, ['logs', server, 'web'])} | head -1`)
    assert.deepEqual({ code, stderr }, { code: 0, stderr: '' })
  })

  await t.test('exec: input, output, errors and the exit code are those of the command', async () => {
    const script =
      'process.stdin.on("data", (d) => process.stdout.write(d)).on("end", () => { console.error("wrong"); process.exit(7) })'
    const { code, stdout, stderr } = await w.cli(['exec', server, 'web', '--', 'node', '-e', script], {
      input: 'a\nb\n',
    })
    assert.deepEqual({ code, stdout, stderr }, { code: 7, stdout: 'a\nb\n', stderr: 'wrong\n' })
    // Flags of the command are its own, with and without a word that says so.
    const show = ['node', '-p', 'process.argv.slice(1).join()', '--', '--key', 'x', '-f']
    for (const words of [
      ['exec', server, 'web', '--replica', '2', ...show],
      ['exec', '--replica', '2', server, 'web', '--', ...show],
      ['server', 'exec', 'web', '--replica', '2', ...show],
      ['server', 'exec', 'web', '--', ...show],
    ])
      assert.equal((await w.ok(words)).stdout, '--key,x,-f\n', words.join(' '))
    assert.equal((await w.cli(['exec', server, '--', 'web', 'true'])).code, 2)
    const where = await w.ok(['exec', server, 'web', '--replica', '2', 'node', '-p', 'process.env.MYPAAS_CONTAINER'])
    assert.match(where.stdout, /-web-r2-2\n$/)
    const wrong = await w.cli(['exec', server, 'web', '--replica', '9', '--', 'true'])
    assert.equal(wrong.code, 1)
    assert.match(wrong.stderr, /No replica 9 of web runs/)
    const missing = await w.cli(['exec', server, 'web', '--', 'no-such-program'])
    assert.notEqual(missing.code, 0)
    assert.match(missing.output, /no-such-program/)
  })

  await t.test('exec passes on any number of bytes unchanged, both ways', async () => {
    const script =
      'const h = crypto.createHash("sha256"); process.stdin.on("data", (d) => { h.update(d); process.stdout.write(d) }).on("end", () => console.error(h.digest("hex")))'
    const sent = await shell(
      w,
      `head -c 50000000 /dev/urandom | tee >(sha256sum >&3) | ${cli(program, ['exec', server, 'web', '--', 'node', '-e', script])} | sha256sum`,
    )
    const sums = sent.output.match(/[0-9a-f]{64}/g) ?? []
    assert.equal(sums.length, 3, sent.output)
    assert.equal(new Set(sums).size, 1)
  })

  await t.test('run: a container of its own, which is gone after it', async () => {
    const ran = await w.ok([
      'run',
      server,
      'web',
      '--',
      'node',
      '-p',
      'process.env.TOKEN.length + process.env.MYPAAS_CONTAINER',
    ])
    assert.match(ran.stdout, /^12\S+-web-run-[0-9a-f]{8}\n$/)
    await nothingRuns(w)
  })

  await t.test('a client that is killed takes its command with it', async () => {
    for (const action of ['exec', 'run']) {
      const running = w.spawnCli([
        action,
        server,
        'web',
        '--',
        'node',
        '-e',
        'console.log("up"); setInterval(() => {}, 1000)',
      ])
      await running.seen(/up/)
      assert.equal(await processes(w), 1)
      running.kill('SIGKILL')
      await running.result
      await until(async () => (await processes(w)) === 0, { what: `the end of what ${action} ran`, timeoutMs: 20_000 })
    }
    await nothingRuns(w)
    // A terminal that is closed.
    const line = cli(program, ['exec', server, 'web', '--', 'node', '-e', 'setInterval(() => {}, 1000)'])
    const terminal = spawn('script', ['-qefc', line, '/dev/null'], {
      env: w.environment(),
      stdio: ['pipe', 'ignore', 'ignore'],
    })
    await until(async () => (await processes(w)) === 1, { what: 'the command on the terminal', timeoutMs: 20_000 })
    terminal.kill('SIGKILL')
    await until(async () => (await processes(w)) === 0, { what: 'the end of it', timeoutMs: 20_000 })
  })

  await t.test('on a terminal the command has one, of the same size', async () => {
    const script =
      'console.log([process.stdin.isTTY, process.stdout.columns, process.stdout.rows].join()); process.stdin.once("data", (d) => { console.log("got", JSON.stringify(String(d))); process.exit(3) })'
    const typed = `(sleep 3; printf 'x\\r') | script -qefc ${quote(`stty cols 91 rows 17; ${cli(program, ['exec', server, 'web', '--', 'node', '-e', `setTimeout(() => { ${script} }, 500)`])}`)} /dev/null`
    const { code, output } = await shell(w, typed)
    assert.match(output, /true,91,17/)
    assert.match(output, /got "x\\n"/)
    assert.equal(code, 3)
  })

  await t.test('a key that may only read gets logs, but no command; a limited one only its services', async () => {
    await w.ok(['server', 'key', 'rm', 'test'])
    await w.ok(['server', 'key', 'add', '--read-only', line])
    assert.equal((await w.cli(['logs', server, 'web'])).code, 0)
    for (const action of ['exec', 'run']) {
      const refused = await w.cli([action, server, 'web', '--', 'true'])
      assert.equal(refused.code, 3)
      assert.match(refused.stderr, /may only read/)
    }
    await w.ok(['server', 'key', 'rm', 'test'])
    await w.ok(['server', 'key', 'add', '--services', 'shop', line])
    for (const words of [
      ['logs', server, 'web'],
      ['exec', server, 'web', '--', 'true'],
    ]) {
      const refused = await w.cli(words)
      assert.equal(refused.code, 3)
      assert.match(refused.stderr, /may not reach web/)
    }
  })

  const log = await auditLog(w)
  assert.doesNotMatch(JSON.stringify(log), /s3cr3t|no-such-program/)
  const of = (what: string): string[] => [
    ...new Set(log.filter(({ action }) => action === what).map(({ outcome }) => outcome ?? '')),
  ]
  assert.deepEqual(of('exec').sort(), ['accepted', 'denied', 'done', 'failed'])
})

/** Processes of services that are neither the server's own nor the test's. */
async function processes(w: World): Promise<number> {
  let found = 0
  for (const { Id, Labels } of await w.containers()) {
    if (Labels['mypaas.role'] !== 'run' && Labels['mypaas.service'] === undefined) continue
    const { Processes } = await w.docker.containers.top(Id)
    const commands = (Processes ?? []).map((columns) => columns.at(-1) ?? '')
    found += commands.filter((command) => command.includes('setInterval') && !command.includes('init')).length
  }
  return found
}

async function nothingRuns(w: World): Promise<void> {
  const all = async () => (await w.containers()).filter(({ Labels }) => Labels['mypaas.role'] === 'run').length
  await until(async () => (await all()) === 0, { what: 'no container of a command' })
}

function quote(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`
}

function cli(program: string, words: readonly string[]): string {
  return [process.execPath, program, ...words].map(quote).join(' ')
}

function shell(
  w: World,
  line: string,
): Promise<{ code: number | null; stdout: string; stderr: string; output: string }> {
  const child = spawn('bash', ['-c', line], {
    env: w.environment(),
    cwd: w.home,
    stdio: ['ignore', 'pipe', 'pipe', 'pipe'],
  })
  const texts = { stdout: '', stderr: '', rest: '' }
  for (const [at, name] of [
    [1, 'stdout'],
    [2, 'stderr'],
    [3, 'rest'],
  ] as const)
    child.stdio[at]?.on('data', (data: Buffer) => {
      texts[name] += data.toString()
    })
  const timer = setTimeout(() => child.kill('SIGKILL'), 60_000)
  return new Promise((resolve) => {
    child.once('close', (code) => {
      clearTimeout(timer)
      resolve({ code, ...texts, output: texts.stdout + texts.stderr + texts.rest })
    })
  })
}
