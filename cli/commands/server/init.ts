import { readFile } from 'node:fs/promises'
import type { CommandDef } from 'citty'
import { MypaasError } from '../../../src/errors.ts'
import type { Initialised } from '../../../src/server/init.ts'
import { ask } from '../../ask.ts'
import { command, portFlag } from '../../command.ts'
import { confirm } from '../../confirm.ts'
import { installedProgram } from '../../program.ts'
import { print, printJson, progress } from '../../render.ts'

const args = {
  domain: { type: 'string', valueHint: 'HOST', description: 'The host that takes pushes, at https://HOST/daemon/' },
  email: {
    type: 'string',
    valueHint: 'ADDRESS',
    description: "For Let's Encrypt; without it https has the router's own certificate",
  },
  key: { type: 'string', valueHint: 'KEY', description: 'A public key that may push: its line, or its file' },
  local: { type: 'boolean', description: 'Publish on loopback only, on free ports where 80 and 443 are taken' },
  instance: { type: 'string', valueHint: 'NAME', description: 'Keep this mypaas apart from others on the machine' },
  'http-port': { type: 'string', valueHint: 'PORT', description: 'The port for http (80)' },
  'https-port': { type: 'string', valueHint: 'PORT', description: 'The port for https (443)' },
  'admin-port': {
    type: 'string',
    valueHint: 'PORT',
    description: "The router's API, on loopback (8081, or a free one)",
  },
  yes: { type: 'boolean', alias: 'y', description: 'Ask nothing; take the defaults for what is not given' },
  json: { type: 'boolean', description: 'Print the result as JSON' },
} as const

export const init: CommandDef = command({
  args,
  async run({ args }) {
    const { initServer } = await import('../../../src/server/init.ts')
    const http = portFlag('http-port', args['http-port'])
    const https = portFlag('https-port', args['https-port'])
    const admin = portFlag('admin-port', args['admin-port'])
    const asked = args.yes ? {} : await askFor(args)
    const domain = args.domain ?? asked.domain
    const email = args.email ?? asked.email
    const key = args.key === undefined ? asked.key : await keyLine(args.key)
    // A laptop's daemon is started by hand.
    const program = args.local ? undefined : installedProgram()
    const done = await initServer({
      ...(args.local ? { local: true } : {}),
      ...(args.instance === undefined ? {} : { instance: args.instance }),
      ...(http === undefined ? {} : { httpPort: http }),
      ...(https === undefined ? {} : { httpsPort: https }),
      ...(admin === undefined ? {} : { adminPort: admin }),
      ...(email === undefined ? {} : { email }),
      ...(domain === undefined ? {} : { domain }),
      ...(key === undefined ? {} : { key }),
      ...(program === undefined ? {} : { program }),
      onProgress: progress,
      async confirm(changes) {
        for (const line of changes) progress(`  ${line}`)
        if (!args.yes) await confirm('Change this server so?')
        return true
      },
    })
    await seeToCertificate(done)
    if (done.configFile !== 'created') await nameOlderSecrets()
    if (args.json) {
      const { router } = done.config
      printJson({
        directory: done.directory,
        config: done.configFile,
        router: done.router,
        unit: done.unit,
        key: done.key,
        identity: done.identity,
        httpPort: router.httpPort,
        httpsPort: router.httpsPort,
      })
    } else {
      const { isDaemonUp } = await import('../../../src/server/daemon-socket.ts')
      const { pushWays } = await import('../../../src/server/push-ways.ts')
      for (const line of summary(done, await isDaemonUp(done.directory))) print(line)
      for (const line of pushWays(done.directory, done.config)) print(line)
      print('Deploy a directory with a Dockerfile: mypaas server deploy DIR')
    }
  },
})

/** What the flags leave open, asked where somebody is there to answer and no server is there yet. */
async function askFor(given: {
  domain?: string | undefined
  email?: string | undefined
  key?: string | undefined
  local?: boolean | undefined
}): Promise<{ domain?: string; email?: string; key?: string }> {
  const { existsSync } = await import('node:fs')
  const { join } = await import('node:path')
  const { serverDirectory } = await import('../../../src/server/config.ts')
  if (!process.stdin.isTTY || given.local || existsSync(join(serverDirectory(), 'config.toml'))) return {}
  progress('A server for services, in ~/_mypaas. Enter alone leaves something out; config.toml has it all for later.')
  const answers: { domain?: string; email?: string; key?: string } = {}
  if (given.domain === undefined) {
    answers.domain = await ask(
      'The host name that takes pushes, such as paas.example.com (none: pushes come by ssh):',
      (text) =>
        /^[a-z0-9-]+(\.[a-z0-9-]+)+$/.test(text) ? undefined : 'That is no host name: paas.example.com, in lower case.',
    )
  }
  if (given.email === undefined) {
    answers.email = await ask(
      "Your e-mail address, for Let's Encrypt's certificates (none: no certificates):",
      (text) => (/^[^\s@]+@[^\s@]+$/.test(text) ? undefined : 'That is no e-mail address.'),
    )
  }
  if (given.key === undefined) {
    const key = await ask('The public key that may push ("mypaas key get" shows yours; none: add it later):', (text) =>
      /^\S+ \S{40,}/.test(text) ? undefined : 'That is no public key: "ssh-ed25519 AAAA… name".',
    )
    if (key !== '') answers.key = key
  }
  return answers
}

/** A key's line, or the file that it is in. */
async function keyLine(given: string): Promise<string> {
  if (given.includes(' ')) return given
  try {
    return (await readFile(given, 'utf8')).trim()
  } catch (cause) {
    throw new MypaasError(`${given} is neither a public key nor a file with one.`, {
      code: 'usage',
      hint: 'Give the line in quotes: --key "ssh-ed25519 AAAA… name"',
      cause,
    })
  }
}

/** The daemon's own name gets its certificate right away: the first push needs it. */
async function seeToCertificate({ config }: Initialised): Promise<void> {
  const { domain } = config.server
  if (domain === '' || config.router.email === '') return
  const { operate } = await import('../../operate.ts')
  const { checkCertificates } = await import('../../../src/deploy/certificates.ts')
  await operate({}, ({ server: { host }, emit, signal }) =>
    checkCertificates(host, { hosts: [domain], waitMs: host.certificateWaitMs, emit, signal }),
  )
}

/** Services go on with the secrets that they were started with, whatever was written into the config since. */
async function nameOlderSecrets(): Promise<void> {
  const { openServer } = await import('../../../src/server/host.ts')
  const { servicesWithChangedSecrets } = await import('../../../src/server/changed-secrets.ts')
  await using server = await openServer()
  for (const { service, secrets } of await servicesWithChangedSecrets(server.host))
    progress(`! ${service} runs with an older value of ${secrets.join(', ')}: mypaas server restart ${service}`)
}

function summary(
  { directory, config: { router }, configFile, router: change, unit, key, identity }: Initialised,
  isDaemonUp: boolean,
): readonly string[] {
  const where = router.bind ? ` of ${router.bind}` : ''
  const lines = [
    `${directory}/config.toml: ${configFile}`,
    `router: ${change}, http on port ${router.httpPort}, https on port ${router.httpsPort}${where}`,
  ]
  if (key !== undefined) lines.push(`key: ${key} may push`)
  lines.push(`identity: ${identity} (what a client shows at its first push; MYPAAS_SERVER_KEY for CI)`)
  lines.push(
    unit !== 'absent'
      ? `daemon: ${unit}, run by systemd`
      : isDaemonUp
        ? 'daemon: runs'
        : 'daemon: start it where services are started here, as this user: mypaas server daemon',
  )
  return lines
}
