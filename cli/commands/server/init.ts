import type { CommandDef } from 'citty'
import { command, portFlag } from '../../command.ts'
import { print, printJson, progress } from '../../render.ts'

const args = {
  local: { type: 'boolean', description: 'Publish on loopback only, on free ports where 80 and 443 are taken' },
  instance: { type: 'string', valueHint: 'NAME', description: 'Keep this mypaas apart from others on the machine' },
  'http-port': { type: 'string', valueHint: 'PORT', description: 'The port for http (80)' },
  'https-port': { type: 'string', valueHint: 'PORT', description: 'The port for https (443)' },
  'admin-port': {
    type: 'string',
    valueHint: 'PORT',
    description: "The router's API, on loopback (8081, or a free one)",
  },
  email: {
    type: 'string',
    valueHint: 'ADDRESS',
    description: "For Let's Encrypt; without it https has the router's own certificate",
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
    const done = await initServer({
      ...(args.local ? { local: true } : {}),
      ...(args.instance === undefined ? {} : { instance: args.instance }),
      ...(http === undefined ? {} : { httpPort: http }),
      ...(https === undefined ? {} : { httpsPort: https }),
      ...(admin === undefined ? {} : { adminPort: admin }),
      ...(args.email === undefined ? {} : { email: args.email }),
      onProgress: progress,
    })
    const { router } = done.config
    if (args.json) {
      printJson({
        directory: done.directory,
        config: done.configFile,
        router: done.router,
        httpPort: router.httpPort,
        httpsPort: router.httpsPort,
      })
      return
    }
    print(`${done.directory}/config.toml: ${done.configFile}`)
    print(
      `router: ${done.router}, http on port ${router.httpPort}, https on port ${router.httpsPort}${router.bind ? ` of ${router.bind}` : ''}`,
    )
    print('Deploy a directory with a Dockerfile: mypaas server deploy DIR')
  },
})
