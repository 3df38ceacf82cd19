import assert from 'node:assert/strict'
import { test } from 'node:test'
import { downloadProblem } from '../../src/server/downloads.ts'
import { HostReach } from '../../src/server/host-reach.ts'

const judged = (url: string): Promise<string | undefined> =>
  downloadProblem(url, { reach: new HostReach({ lookUp }), known: ['github.com'] })
const lookUp = async (name: string): Promise<readonly string[] | undefined> =>
  ({ localhost: ['127.0.0.1'], 'public.example': ['1.1.1.1'], 'both.example': ['1.1.1.1', '10.0.0.1'] })[name]

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
    assert.match((await judged(url)) ?? 'none', /is not on the Internet$/, url)
  assert.match((await judged('file:///etc/passwd')) ?? '', /by file$/)
  assert.match((await judged('http://$H/x')) ?? '', /can't be told/)
  assert.match((await judged('https://both.example/x')) ?? '', /both\.example is not on the Internet$/)
  assert.match((await judged('https://nobody.example/x')) ?? '', /could not be looked up where nobody\.example is$/)
  for (const url of ['https://1.1.1.1/x', 'https://public.example/x', 'https://github.com/x', 'git@1.1.1.1:a/b.git'])
    assert.equal(await judged(url), undefined, url)
})
