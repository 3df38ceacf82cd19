import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { compiledProgram } from '../support/compiled.ts'
import { nodeImage } from '../support/images.ts'
import { request } from '../support/request.ts'
import { freePort, type ServiceFiles, type World, world } from '../support/world.ts'

const program = await compiledProgram({ after })

test('a database: a volume, a password from the config, a port of the server, no URL', async (t) => {
  const w = await world(t, { program })
  await w.init()
  const password = `pw-${randomBytes(9).toString('base64url')}`
  const port = await freePort()
  await w.addSecrets({ DB_PASSWORD: password })
  const since = new Date()
  const said: string[] = []
  const deploy = async (files: ServiceFiles, ...flags: string[]) => {
    const result = await w.cli(['server', 'deploy', await w.service('db', files), ...flags])
    said.push(result.output)
    return result
  }
  const ask = (call: string, given = password) =>
    request(`http://127.0.0.1/${call}`, { port, headers: { authorization: given } })

  await t.test('answers on its port of the server, to those who know the password', async () => {
    const { code, stdout } = await deploy(await database(w, port), '--verbose')
    assert.deepEqual({ code, stdout }, { code: 0, stdout: '' })
    assert.equal((await ask('put/one')).body, 'one\n')
    assert.equal((await ask('put/two', 'guessed')).status, 401)
    const [container] = await w.containers('db')
    const { HostConfig, Config } = await w.docker.containers.inspect(container?.Id ?? '')
    assert.deepEqual(HostConfig.PortBindings, { [`${port}/tcp`]: [{ HostIp: '127.0.0.1', HostPort: `${port}` }] })
    assert.ok(Config.Env?.includes(`DB_PASSWORD=${password}`))
  })

  await t.test('and to another service, by its name', async () => {
    await w.deploy(await w.service('web', { directives: ['url=http://web.test'] }))
    const inner = encodeURIComponent(`http://db:${port}/`)
    const reply = await w.request(`http://web.test/fetch?url=${inner}`)
    assert.deepEqual(reply.json(), { status: 401, body: 'not allowed\n' })
  })

  await t.test('its data survive a redeploy, and never do two of it run at the same time', async () => {
    await using watch = await w.watch('db')
    const { code, output } = await deploy(await database(w, port), '--json')
    assert.equal(code, 0, output)
    const { most, events } = await watch.stop()
    assert.deepEqual({ most, actions: events.map(({ action }) => action) }, { most: 1, actions: ['die', 'start'] })
    assert.equal((await ask('all')).body, 'one\n')
    assert.equal((await ask('put/two')).body, 'one\ntwo\n')
    assert.equal(await readFile(join(w.home, 'pgdata', 'rows'), 'utf8'), 'one\ntwo\n')
  })

  await t.test(
    'a release that fails leaves it as it was; if it prints the password then, mypaas does not',
    async () => {
      const crash = `console.error('cannot connect to postgres://me:' + process.env.DB_PASSWORD + '@db'); process.exit(3)`
      for (const flags of [[], ['--json', '--verbose']]) {
        const { code, stderr } = await deploy(await database(w, port, crash), ...flags)
        assert.equal(code, 1)
        assert.match(stderr, /exited with code 3/)
        assert.match(stderr, /cannot connect to postgres:\/\/me:•••@db/)
      }
      assert.equal((await ask('all')).body, 'one\ntwo\n')
    },
  )

  await t.test('a password that the config does not have stops the deploy before anything is done', async () => {
    const files = await database(w, port)
    const dockerfile = files.dockerfile?.replace('env=DB_PASSWORD', 'env=DB_PASSWORD\n# mypaas.env=DB_USER') ?? ''
    const { code, stderr } = await deploy({ ...files, dockerfile })
    assert.equal(code, 2, stderr)
    assert.match(stderr, /The server has no value for DB_USER/)
    assert.match(stderr, /section \[env\] of .*:\n {4}DB_USER = "…"/)
    assert.deepEqual(await w.runningNames('db'), ['db-r2-1'])
  })

  await t.test(
    'the password is in no output, event, image, label or file, but in config.toml and the container',
    async () => {
      await w.ok(['server', 'status', '--json']).then(({ output }) => said.push(output))
      const { docker } = w
      const found: Record<string, string> = { 'the output of commands': said.join('\n') }
      const names = (await docker.images.list({ filters: { reference: [`${w.instance}-*`] } })).flatMap(
        ({ RepoTags }) => RepoTags ?? [],
      )
      assert.ok(names.length >= 2)
      for (const name of names)
        found[`image ${name}`] = JSON.stringify([await docker.images.inspect(name), await docker.images.history(name)])
      for (const container of await w.containers()) {
        const { Config, ...rest } = await docker.containers.inspect(container.Id)
        const { Env, ...config } = Config
        found[`container ${w.nameOf(container)}`] = JSON.stringify([config, rest])
      }
      const label = [`mypaas.server=${await w.serverId()}`]
      const events: unknown[] = []
      for await (const event of docker.system.events({ since, until: new Date(), filters: { label } }))
        events.push(event)
      assert.ok(events.length > 10)
      found['events of the engine'] = JSON.stringify(events)
      for (const path of await filesBelow(join(w.home, '_mypaas')))
        if (path !== 'config.toml') found[`_mypaas/${path}`] = await readFile(join(w.home, '_mypaas', path), 'latin1')
      const places = Object.entries(found).filter(([, content]) => content.includes(password))
      // What an app itself wrote to its log is there as it wrote it, for those who may read the log.
      const logs = /^_mypaas\/services\/db\/logs\//
      assert.deepEqual(
        places.map(([place]) => place).filter((place) => !logs.test(place)),
        [],
      )
      assert.equal(existsSync(join(w.home, '_mypaas', 'config.toml')), true)
    },
  )
})

/** Something that keeps rows in a file and wants a password, in the place of postgres. */
async function database(w: World, port: number, begin = ''): Promise<ServiceFiles> {
  return {
    dockerfile: [
      '# mypaas.service=db',
      '# mypaas.volume=~/pgdata:/var/lib/db',
      '# mypaas.env=DB_PASSWORD',
      `# mypaas.publish=127.0.0.1:${port}:${port}`,
      `FROM ${await nodeImage(w.docker)}`,
      'COPY db.mjs ./',
      `CMD ["node", "db.mjs", "${port}"]`,
    ].join('\n'),
    files: {
      'db.mjs': `
        import { appendFileSync, readFileSync } from 'node:fs'
        import { createServer } from 'node:http'
        ${begin}
        const rows = '/var/lib/db/rows'
        appendFileSync(rows, '')
        createServer((request, response) => {
          if (request.headers.authorization !== process.env.DB_PASSWORD) return response.writeHead(401).end('not allowed\\n')
          const [, call, value] = request.url.split('/')
          if (call === 'put') appendFileSync(rows, value + '\\n')
          response.end(readFileSync(rows))
        }).listen(Number(process.argv[2]))`,
    },
  }
}

async function filesBelow(root: string): Promise<string[]> {
  const found = await readdir(root, { recursive: true, withFileTypes: true })
  return found
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(root.length + 1))
}
