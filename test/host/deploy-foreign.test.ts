import assert from 'node:assert/strict'
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { compiledProgram } from '../support/compiled.ts'
import { initWith, quick, socketOf, startDaemon } from '../support/daemon.ts'
import { userKeyOf } from '../support/keys.ts'
import { world } from '../support/world.ts'

const node = (script: string) => `RUN ["node", "-e", ${JSON.stringify(`const fs = require('fs'); ${script}`)}]`

test('nothing that an image has for a list of users ends the daemon', async (t) => {
  const w = await world(t, { program: await compiledProgram(t) })
  await initWith(w, quick)
  await w.ok(['server', 'key', 'add', '--services', 'x-*', await userKeyOf(w.home)])
  const daemon = await startDaemon(t, w)
  const lines = {
    'two megabytes of line ends': `fs.appendFileSync('/etc/passwd', '\\n'.repeat(2e6))`,
    'a file of 64 megabytes': `fs.writeFileSync('/etc/passwd', ''); fs.truncateSync('/etc/passwd', 64e6)`,
    'a directory': `fs.rmSync('/etc/passwd', { force: true }); fs.mkdirSync('/etc/passwd')`,
    'a link in circles': `fs.rmSync('/etc/passwd', { force: true }); fs.symlinkSync('passwd', '/etc/passwd')`,
  }
  for (const [what, script] of Object.entries(lines)) {
    await t.test(`${what}: the push fails and says why`, async () => {
      const name = `x-bomb${Object.keys(lines).indexOf(what)}`
      const directory = await w.service(name, {
        directives: [`volume=~/${name}/new:/d`],
        lines: [node(`fs.mkdirSync('/etc', { recursive: true }); ${script}`), 'USER app'],
      })
      const { code, stderr } = await w.cli(['push', socketOf(w), directory])
      assert.equal(code, 1, stderr)
      assert.match(stderr, /\/etc\/passwd of the image (has \d+ bytes; up to 1048576 are read|is no file|is a link)/)
      assert.equal(process.kill(daemon.pid, 0), true)
    })
  }

  await t.test('a megabyte of them and a link are read, and the directory is the user’s', async () => {
    const directory = await w.service('x-linked', {
      directives: ['volume=~/x-linked/new:/d'],
      lines: [
        node(
          `fs.mkdirSync('/etc', { recursive: true }); fs.mkdirSync('/lists'); fs.rmSync('/etc/passwd', { force: true });
           fs.writeFileSync('/lists/real', '\\n'.repeat(1e6) + 'app:x:4242:4243::/:\\n'); fs.symlinkSync('../lists/real', '/etc/passwd')`.replace(
            /\s*\n\s*/,
            ' ',
          ),
        ),
        'USER app',
      ],
    })
    await w.ok(['push', socketOf(w), directory])
    const { uid, gid } = await stat(join(w.home, 'x-linked', 'new'))
    assert.deepEqual([uid, gid], [4242, 4243])
    assert.doesNotMatch(daemon.output, /a bug:/)
  })
})
