import assert from 'node:assert/strict'
import { test } from 'node:test'
import { pythonBase } from '../support/python-base.ts'
import { world } from '../support/world.ts'

/** As it stands in the manual. */
const dockerfile = `# mypaas.service=hello-world
# mypaas.url=https://example.com
# mypaas.url=https://www.example.com

FROM python:3.8-slim-buster

RUN apt update \\
    && pip --no-cache-dir install pip --upgrade \\
    && pip --no-cache-dir install uvicorn uvloop httptools \\
    && pip --no-cache-dir install asgineer

WORKDIR /root
COPY . .
CMD python server.py
`

const server = `import asgineer

@asgineer.to_asgi
async def main(request):
    return {"host": request.host, "path": request.path, "scheme": request.headers.get("x-forwarded-proto")}

if __name__ == "__main__":
    asgineer.run(main, "uvicorn", "0.0.0.0:80")
`

const skip = process.env['MYPAAS_SLOW']
  ? false
  : 'takes minutes: it makes a Debian and runs apt and pip. Set MYPAAS_SLOW=1'

test("the manual's example, unchanged, answers over https on both names, and http leads there", { skip }, async (t) => {
  const w = await world(t)
  await w.init()
  assert.equal(await pythonBase(t), 'python:3.8-slim-buster')
  const directory = await w.service('hello-world', { dockerfile, files: { 'server.py': server } })
  const { stdout } = await w.ok(['server', 'deploy', directory], { timeoutMs: 600_000 })
  assert.equal(stdout, `https://example.com:${w.ports.https}/\nhttps://www.example.com:${w.ports.https}/\n`)
  for (const host of ['example.com', 'www.example.com']) {
    const reply = await w.request(`https://${host}/a/b`)
    assert.deepEqual(
      { status: reply.status, body: reply.json() },
      { status: 200, body: { host, path: '/a/b', scheme: 'https' } },
    )
    const { status, headers } = await w.request(`http://${host}/a?b=c`)
    assert.deepEqual({ status, to: headers.location }, { status: 301, to: `https://${host}:${w.ports.https}/a?b=c` })
  }
  await w.ok(['server', 'deploy', directory], { timeoutMs: 600_000 })
  assert.deepEqual(await w.runningNames('hello-world'), ['hello-world-r2-1'])
  assert.equal((await w.request('https://example.com/')).status, 200)
})
