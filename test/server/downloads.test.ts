import assert from 'node:assert/strict'
import { test } from 'node:test'
import { downloadProblem } from '../../src/server/downloads.ts'

test('a download from where only the server can reach is refused, however the address is spelt', async () => {
  for (const url of [
    'http://127.0.0.1:18470/secret',
    'https://169.254.169.254/latest',
    'http://0x7f000001/',
    'http://localhost:2024/x',
    'http://[::1]:80/x',
    'http://[::ffff:127.0.0.1]/x',
    'http://user:pass@10.0.0.1/y',
    'http://github.com@127.1/x',
    'http://192.168.1.1',
    'git@localhost:a/b.git',
    'git://127.0.0.1/x.git',
    'ssh://git@172.16.0.1/x.git',
  ])
    assert.match((await downloadProblem(url)) ?? 'none', /is not on the Internet$/, url)
  assert.match((await downloadProblem('file:///etc/passwd')) ?? '', /by file$/)
  assert.match((await downloadProblem('http://$H/x')) ?? '', /can't be told/)
  for (const url of ['https://1.1.1.1/x', 'https://no-such-host.invalid/x', 'git@1.1.1.1:a/b.git'])
    assert.equal(await downloadProblem(url), undefined, url)
})
