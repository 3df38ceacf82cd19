import assert from 'node:assert/strict'
import { chmod, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import { fileFacts, judgeFiles, judgeKeys } from '../../src/server/doctor/files.ts'

test('the doctor looks at every file and folder, whatever made it', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'mypaas-doctor-'))
  t.after(() => rm(folder, { recursive: true }))
  const put = async (name: string, mode: number): Promise<void> => {
    await mkdir(dirname(join(folder, name)), { recursive: true, mode: 0o700 })
    await writeFile(join(folder, name), '')
    await chmod(join(folder, name), mode)
  }
  const files = { 'push/jobs/a.ndjson': 0o644, 'services/blog/logs/r1-1.log': 0o602, 'new/thing': 0o640 } as const
  for (const [name, mode] of Object.entries(files)) await put(name, mode)
  for (const name of ['config.toml', 'push/jobs/b.ndjson']) await put(name, 0o600)
  await put('traefik/dynamic/base.yml', 0o640)
  await put('traefik/dynamic/mine.yml', 0o644)
  await put('traefik/dynamic/service-blog.yml', 0o644)
  await put('traefik/acme/acme.json', 0o640)
  await chmod(join(folder, 'traefik'), 0o750)
  await chmod(join(folder, 'push'), 0o755)
  await symlink('/', join(folder, 'link'))
  const findings = judgeFiles(await fileFacts(folder))
  assert.deepEqual(findings.map(({ message }) => message.replaceAll(`${folder}/`, '')).sort(), [
    'Others can read new/thing (mode 640).',
    'Others can read push (mode 755).',
    'Others can read push/jobs/a.ndjson (mode 644).',
    'Others can read traefik/acme/acme.json (mode 640).',
    'Others can read traefik/dynamic/service-blog.yml (mode 644).',
    'Others can write services/blog/logs/r1-1.log (mode 602).',
  ])
  assert.deepEqual(findings.map(({ fix }) => fix?.kind === 'chmod' && fix.mode.toString(8)).sort(), [
    ...['600', '600', '600', '600', '640', '700'],
  ])
})

test('of keys that others can write the doctor names one remedy, which mends it', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'mypaas-doctor-'))
  t.after(() => rm(folder, { recursive: true }))
  const file = join(folder, 'authorized_keys')
  await writeFile(file, '')
  await chmod(file, 0o660)
  const [found, ...more] = await judgeKeys(folder)
  assert.deepEqual(more, [])
  assert.equal(found?.message, `authorized_keys: ${file} counts for nothing: others can write it (mode 660).`)
  assert.equal(found?.mend, `chmod 600 ${file}`)
  await writeFile(file, 'oops\n')
  await chmod(file, 0o600)
  assert.match((await judgeKeys(folder))[0]?.mend ?? '', /^Mend or remove the line in /)
})
