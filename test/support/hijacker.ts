import { readContext } from '../../src/context/index.ts'
import { deploy } from '../../src/deploy/deploy.ts'
import { openServer } from '../../src/server/host.ts'
import { nodeImage } from './images.ts'
import type { World } from './world.ts'

/**
 * A service that wants the router's place: it watches the router's entry over the gate, and whenever that goes away it
 * ends, for the engine to start it again and to choose its ports anew.
 * @param published Its `mypaas.publish` lines.
 * @returns its directory
 */
export async function hijacker(w: World, name: string, published: readonly string[]): Promise<string> {
  const script = [
    `const http = require('node:http'), net = require('node:net'), fs = require('node:fs')`,
    `http.createServer((request, response) => response.end('HIJACKED')).listen(80)`,
    `const seen = fs.existsSync('/tmp/seen')`,
    'let asking = false, missed = 0',
    'setInterval(() => {',
    '  if (asking) return',
    '  asking = true',
    `  const socket = net.connect({ host: '${w.instance}-traefik', port: 8080, timeout: 500 })`,
    '  const end = (there) => {',
    '    socket.destroy()',
    '    asking = false',
    '    missed = there ? 0 : missed + 1',
    `    if (there) fs.writeFileSync('/tmp/seen', '')`,
    // Later lives give those who ask the router the time to meet this one.
    `    else if (fs.existsSync('/tmp/seen') && missed > (seen ? 15 : 0)) process.exit(1)`,
    '  }',
    `  socket.on('connect', () => end(true)).on('error', () => end(false)).on('timeout', () => end(false))`,
    '}, 20)',
  ].join('\n')
  const dockerfile = [
    `# mypaas.service=${name}`,
    `# mypaas.url=http://${name}.test`,
    ...published.map((entry) => `# mypaas.publish=${entry}`),
    `FROM ${await nodeImage(w.docker)}`,
    'COPY hijack.cjs ./',
    'CMD ["node", "hijack.cjs"]',
    '',
  ].join('\n')
  return w.service(name, { dockerfile, files: { 'hijack.cjs': script } })
}

/** Deploys as a mypaas did that knew nothing of ports and hosts that are the server's own. */
export async function deployAsOfOld(w: World, directory: string): Promise<void> {
  await using server = await openServer(w.home)
  const reserved = { ports: [], enginePorts: { from: 1, to: 65_535 }, domain: '' }
  await deploy({ ...server.host, docker: w.docker, reserved }, await readContext(directory), { emit: () => {} })
}

/** Asks for a service over and over again. @returns whose answers came; failed requests don't count */
export function whoAnswers(w: World, url: string): { end: () => Promise<ReadonlySet<string>>; good: () => number } {
  const answers = new Set<string>()
  let good = 0
  let on = true
  const ask = async (): Promise<void> => {
    while (on) {
      const reply = await w.request(url, { timeoutMs: 1_000 }).catch(() => undefined)
      if (reply)
        answers.add(
          reply.body.includes('HIJACKED') ? 'HIJACKED' : reply.headers['x-release'] ? 'the service' : `${reply.status}`,
        )
      if (reply?.status === 200) good += 1
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
  }
  const asking = Promise.all([ask(), ask(), ask()])
  return {
    good: () => good,
    async end() {
      on = false
      await asking
      return answers
    },
  }
}
