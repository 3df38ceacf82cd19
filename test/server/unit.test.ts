import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { chmod, mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { promisify } from 'node:util'
import { MypaasError } from '../../src/errors.ts'
import { type DaemonUnit, ensureUnit, removeUnit, restartUnit, type Systemd, unitText } from '../../src/server/unit.ts'

const unit: DaemonUnit = {
  node: '/usr/bin/node',
  program: '/usr/lib/node_modules/mypaas/dist/cli/main.js',
  home: '/root',
  instance: '',
  volumeRoots: ['/srv'],
}

test('the unit starts the daemon at boot and again whenever it ends, and never stops it with Docker', () => {
  const text = unitText(unit)
  assert.match(
    text,
    /^ExecStart=\/usr\/bin\/node \/usr\/lib\/node_modules\/mypaas\/dist\/cli\/main\.js server daemon$/m,
  )
  assert.match(text, /^Environment=HOME=\/root /m)
  assert.match(text, /^Restart=always$/m)
  assert.match(text, /^StartLimitIntervalSec=0$/m)
  assert.match(text, /^WantedBy=multi-user\.target$/m)
  assert.doesNotMatch(text, /^(Requires|PartOf|BindsTo)=/m)
})

test('the unit may write to the home and to the roots of volumes, and nowhere else; what it needs is not hidden from it', () => {
  const text = unitText(unit)
  assert.match(text, /^ProtectSystem=strict$/m)
  assert.match(text, /^ReadWritePaths=\/root -\/srv$/m)
  assert.match(text, /^NoNewPrivileges=yes$/m)
  assert.match(text, /^CapabilityBoundingSet=CAP_CHOWN CAP_DAC_OVERRIDE CAP_FOWNER CAP_KILL$/m)
  assert.doesNotMatch(text, /^(ProtectHome|ProtectProc|MemoryDenyWriteExecute)=/m)
})

test('paths with blanks, quotes and percent signs stay one word each', () => {
  const text = unitText({ ...unit, node: '/opt/my node/bin/node', home: '/home/100% "me"' })
  assert.match(text, /^ExecStart="\/opt\/my node\/bin\/node" /m)
  assert.match(text, /^Environment="HOME=\/home\/100%% \\"me\\"" /m)
})

test('systemd itself finds nothing wrong with the unit', async (t) => {
  const folder = await temporary(t)
  const file = join(folder, 'mypaas.service')
  await writeFile(
    file,
    unitText({ ...unit, node: process.execPath, program: '/dev/null', home: '/tmp', volumeRoots: [] }),
  )
  const found = await promisify(execFile)('systemd-analyze', [
    'verify',
    '--man=no',
    '--recursive-errors=no',
    file,
  ]).catch((error: { code?: unknown; stderr?: string }) => ({ stderr: error.stderr ?? '', code: error.code }))
  if ('code' in found && found.code === 'ENOENT') return t.diagnostic('there is no systemd-analyze here')
  assert.doesNotMatch(found.stderr, /mypaas\.service/)
})

test('systemd counts the unit among those that are exposed little', async (t) => {
  const folder = await temporary(t)
  const file = join(folder, 'mypaas.service')
  await writeFile(file, unitText(unit))
  const judge = promisify(execFile)('systemd-analyze', ['security', '--offline=true', '--no-pager', file])
  const { stdout } = await judge.catch((error: { code?: unknown; stderr?: string }) => ({ stdout: `${error.stderr}` }))
  const [, level] = /Overall exposure level for mypaas\.service: (\d+\.\d)/.exec(stdout) ?? []
  // Older ones can't judge a file.
  if (level === undefined) return t.diagnostic(`there is no systemd-analyze here that can say: ${stdout}`)
  assert.ok(Number(level) < 3, `${level}`)
})

test('the unit is written, enabled and started; a change restarts it; without one nothing but its start is asked', async (t) => {
  const { at, calls } = await fakeSystemd(t)
  assert.equal(await ensureUnit(unit, at), 'created')
  assert.equal(await readFile(join(at.units, 'mypaas.service'), 'utf8'), unitText(unit))
  assert.equal((await stat(join(at.units, 'mypaas.service'))).mode & 0o777, 0o644)
  assert.equal(await ensureUnit(unit, at), 'unchanged')
  assert.equal(await ensureUnit({ ...unit, node: '/usr/local/bin/node' }, at), 'changed')
  await restartUnit('', at)
  assert.equal(await removeUnit('', at), true)
  assert.equal(await removeUnit('', at), false)
  assert.deepEqual(await calls(), [
    'daemon-reload',
    'enable --quiet mypaas.service',
    'start mypaas.service',
    'enable --quiet mypaas.service',
    'start mypaas.service',
    'daemon-reload',
    'enable --quiet mypaas.service',
    'restart mypaas.service',
    'restart mypaas.service',
    'disable --quiet --now mypaas.service',
    'daemon-reload',
  ])
})

test('where systemd does not run no unit is written, and a restart says who must do it', async (t) => {
  const { at } = await fakeSystemd(t)
  await rm(at.running, { recursive: true })
  assert.equal(await ensureUnit(unit, at), 'absent')
  await assert.rejects(restartUnit('', at), (error) => {
    assert.ok(error instanceof MypaasError)
    assert.match(`${error.message} ${error.hint}`, /not run by systemd here.*mypaas server daemon/)
    return true
  })
})

test('what systemctl says when it fails is passed on', async (t) => {
  const { at } = await fakeSystemd(t, 'echo "Access denied" >&2; exit 4')
  await assert.rejects(ensureUnit(unit, at), /systemctl daemon-reload failed: Access denied\./)
})

async function fakeSystemd(
  t: TestContext,
  script = 'echo "$*" >> "$0.calls"',
): Promise<{ at: Systemd; calls: () => Promise<string[]> }> {
  const folder = await temporary(t)
  const at = { units: join(folder, 'units'), running: join(folder, 'running'), systemctl: join(folder, 'systemctl') }
  await mkdir(at.units)
  await mkdir(at.running)
  await writeFile(at.systemctl, `#!/bin/sh\n${script}\n`)
  await chmod(at.systemctl, 0o755)
  return { at, calls: async () => (await readFile(`${at.systemctl}.calls`, 'utf8')).trim().split('\n') }
}

async function temporary(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'mypaas-test-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  return folder
}
