import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { deadRedirect } from '../../src/deploy/dead-redirect.ts'
import { writeJournal } from '../../src/deploy/journal.ts'
import { parseSpec } from '../../src/service/parse.ts'
import type { ServiceUrl } from '../../src/service/spec.ts'
import { formatUrl } from '../../src/service/url.ts'

const parse = (service: string, ...lines: string[]) =>
  parseSpec([`# mypaas.service = ${service}`, ...lines.map((line) => `# mypaas.${line}`), 'FROM x'].join('\n'))

/** A router whose public ports are 80 and 8443. */
const router = {
  show: ({ scheme, host, path }: ServiceUrl) => `${scheme}://${host}${scheme === 'https' ? ':8443' : ''}${path}`,
}

test('a redirect to what is not there is told with its Location; one that leads somewhere, or elsewhere, is not', async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'mypaas-redirect-'))
  t.after(() => rm(directory, { recursive: true }))
  const shop = parse('shop', 'url=https://shop.test', 'url=http://app.test/shop')
  await writeJournal(directory, {
    version: 1,
    service: 'shop',
    server: 'x',
    lastRelease: 1,
    current: { release: 1, image: 'i', spec: shop, deployedAt: '' },
  })
  const told = async (location: string, lines: readonly string[], setsCookie = false): Promise<string | undefined> => {
    const spec = parse('web', ...lines)
    const [url] = spec.urls
    assert.ok(url)
    const found = await deadRedirect({ url, status: 302, location, setsCookie }, spec, { directory, router })
    if (found === undefined) return undefined
    const [, start = '', why] = /^(.*) \(302\): (.*)\.$/.exec(found.message) ?? []
    assert.ok(start.startsWith(`${formatUrl(url)} sends everybody to http`), start)
    assert.ok(found.hint.length > 10)
    return why
  }
  const plain = ['url=http://app.test']
  const secure = ['url=https://app.test']
  const below = ['url=http://app.test/docs']
  const table: readonly [location: string, lines: readonly string[], why: string | undefined][] = [
    ['https://app.test/', plain, 'app.test has no https url'],
    ['https://app.test:8443/login', plain, 'app.test has no https url'],
    ['http://app.test:3000/', plain, 'nothing answers on port 3000'],
    ['http://app.test:3000/', [...plain, 'publish=3000:80'], undefined],
    ['//app.test:81/x', plain, 'nothing answers on port 81'],
    ['http://localhost/', plain, 'localhost is no host that users know'],
    ['http://web-r1-1:80/', plain, 'web-r1-1 is no host that users know'],
    ['http://172.18.0.3/login', plain, '172.18.0.3 is no host that users know'],
    ['http://[::1]/', plain, '[::1] is no host that users know'],
    ['http://10.0.0.4/', ['url=http://10.0.0.3'], undefined],
    ['/login', below, 'no url covers /login'],
    ['/docsearch', below, 'no url covers /docsearch'],
    ['/docs/', below, 'in a circle'],
    ['/docs/intro', below, undefined],
    ['intro', below, 'no url covers /intro'],
    ['/shop/cart', below, undefined],
    ['http://app.test/', secure, 'in a circle'],
    ['http://app.test/login', secure, undefined],
    ['https://app.test/?next=1', secure, undefined],
    ['https://app.test:8443/', secure, 'in a circle'],
    ['https://shop.test/', plain, undefined],
    ['http://shop.test/cart', plain, undefined],
    ['https://login.elsewhere.example/x', plain, undefined],
    ['https://a.wild.test/', ['url=http://*.wild.test'], 'a.wild.test has no https url'],
    ['http://a.wild.test/', ['url=http://*.wild.test'], undefined],
    ['mailto:a@b.c', plain, undefined],
    ['http://[', plain, undefined],
  ]
  for (const [location, lines, why] of table) assert.equal(await told(location, lines), why, `${location} of ${lines}`)
  // The next request has the cookie, and may be answered.
  assert.equal(await told('https://app.test/', secure, true), undefined)
})
