import { hostname, userInfo } from 'node:os'
import type { CommandDef } from 'citty'
import { findKeys, generateKey, initKey } from '../../src/push/keys.ts'
import { command } from '../command.ts'
import { remoteArgs } from '../remote.ts'
import { print, progress } from '../render.ts'

export const init: CommandDef = command({
  async run() {
    const { key, made } = await initKey()
    progress(made ? `A new key: ${key.source}` : `You have one: ${key.source}`)
    progress('Let somebody on the server run: mypaas server key add "…", with this line:')
    print(`${key.public} ${userInfo().username}@${hostname()}`)
  },
})

export const get: CommandDef = command({
  args: { ...remoteArgs },
  async run({ args }) {
    const [key] = await findKeys({ keyFile: args.key })
    progress(`From ${key?.source}:`)
    print(`${key?.public} ${userInfo().username}@${hostname()}`)
  },
})

export const gen: CommandDef = command({
  args: {
    name: { type: 'positional', required: false, description: 'What the key is called in logs (ci)' },
  },
  async run({ args }) {
    const made = generateKey(args.name ?? 'ci')
    progress('On the server (limit it to what it needs):')
    progress(`  mypaas server key add --services NAME '${made.public}'`)
    progress('The private half, shown only now. Put it into the secret variable MYPAAS_PRIVATE_KEY:')
    print(made.private)
  },
})
