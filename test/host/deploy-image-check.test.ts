import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { compiledProgram } from '../support/compiled.ts'
import { world } from '../support/world.ts'

const program = await compiledProgram({ after })

test('the HEALTHCHECK of an image is run at once: no deploy waits for its interval', async (t) => {
  const w = await world(t, { program })
  await w.init()
  for (const interval of ['30s', '60s', '5m']) {
    await t.test(`--interval=${interval}`, async () => {
      const directives = ['url=http://hc.test', 'scale=1']
      const lines = [`HEALTHCHECK --interval=${interval} --timeout=3s CMD node -e 'fetch("http://localhost")'`]
      const { ms } = await w.deploy(await w.service('hc', { directives, lines, app: { LISTEN_DELAY_MS: 1_000 } }))
      assert.equal((await w.request('http://hc.test/')).status, 200)
      assert.ok(ms < 20_000, `${ms} ms`)
    })
  }
  await t.test('as the engine runs it: with its user, directory and environment, by a shell or without', async () => {
    const lines = ['USER 1234', 'HEALTHCHECK --interval=5m CMD test "$(id -u) $PWD $MYPAAS_SERVICE" = "1234 /app as"']
    await w.deploy(await w.service('as', { lines }))
    const list = ['HEALTHCHECK --interval=5m CMD ["test", "-f", "server.mjs"]']
    await w.deploy(await w.service('as', { lines: list }))
  })
  await t.test('one that the engine gives up before the app has started may still pass', async () => {
    const lines = [`HEALTHCHECK --interval=300ms --retries=2 CMD node -e 'fetch("http://localhost")'`]
    const directives = ['url=http://early.test', 'scale=1']
    const { output } = await w.deploy(await w.service('early', { directives, lines, app: { LISTEN_DELAY_MS: 8_000 } }))
    assert.match(
      output,
      /! .*early-r1-1 is unhealthy: its HEALTHCHECK ended with .*; waiting until 60 s, or 20 s without/s,
    )
  })
  await t.test('one that is not passed is told with its last word, and without secrets', async () => {
    await w.addSecrets({ TOKEN: 'not-for-everybody' })
    const directives = ['url=http://never.test', 'env=TOKEN', 'start_timeout=3s']
    const lines = ['HEALTHCHECK --interval=5m CMD echo no luck with $TOKEN; exit 3']
    const { code, output } = await w.cli(['server', 'deploy', await w.service('never', { directives, lines })])
    assert.equal(code, 1, output)
    assert.match(
      output,
      /never-r1-1 did not get healthy within 3 s; its HEALTHCHECK last ended with exit code 3: no luck/,
    )
    assert.doesNotMatch(output, /not-for-everybody/)
  })
})

test('a URL that sends everybody to what is not there goes live with a warning that has the Location', async (t) => {
  const w = await world(t, { program })
  await w.init()
  const app = { FORCE_HTTPS: 'own' }
  for (const directives of [['scale=1'], []]) {
    const plain = await w.service('fs', { directives: ['url=http://fs.test', ...directives], app })
    const { output } = await w.deploy(plain)
    assert.match(
      output,
      /! .*http:\/\/fs\.test sends everybody to https:\/\/fs\.test\/ \(301\): fs\.test has no https url\. Add # mypaas\.url = https:\/\/fs\.test,/,
    )
  }
  const secure = await w.service('fs', { directives: ['url=https://fs.test'], app })
  assert.doesNotMatch((await w.deploy(secure)).output, /sends everybody/)
})
