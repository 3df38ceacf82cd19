import type { CommandDef } from 'citty'
import { MypaasError } from '../../../src/errors.ts'
import { serverDirectory } from '../../../src/server/config.ts'
import { dropEarlierKeys, findServerKey, rotateServerKey } from '../../../src/server/server-key.ts'
import { command } from '../../command.ts'
import { print, printJson, progress } from '../../render.ts'

export const show: CommandDef = command({
  args: { json: { type: 'boolean', description: 'Print fingerprint, public key and older ones as JSON' } },
  async run({ args }) {
    const key = await findServerKey(serverDirectory())
    if (!key) {
      throw new MypaasError('This server has no key of its own yet.', {
        code: 'usage',
        hint: 'Make it: mypaas server init',
      })
    }
    const { fingerprint, earlier } = key
    if (args.json) return printJson({ fingerprint, public: key.public, earlier: earlier.map((old) => old.key) })
    print(fingerprint)
    progress(key.public)
    if (earlier.length > 0)
      progress(`Clients that know an older one follow by themselves (${earlier.length} before it).`)
  },
})

export const rotate: CommandDef = command({
  args: {
    'drop-old': { type: 'boolean', description: 'Let no older one sign it: each client has to forget this server' },
  },
  async run({ args }) {
    const dropOld = args['drop-old'] === true
    const { before, now } = await rotateServerKey(serverDirectory(), { dropOld })
    print(now.fingerprint)
    progress(
      dropOld
        ? `In place of ${before.fingerprint}, which counts no more. On each client: mypaas remote forget NAME; in CI a new MYPAAS_SERVER_KEY.`
        : `In place of ${before.fingerprint}, which has signed it: clients follow by themselves. Give CI the new MYPAAS_SERVER_KEY.`,
    )
  },
})

export const dropOld: CommandDef = command({
  async run() {
    const { now, dropped } = await dropEarlierKeys(serverDirectory())
    print(now.fingerprint)
    progress(dropped === 0 ? 'There was no older one.' : `Older ones that count no more: ${dropped}.`)
  },
})
