import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { setKey } from '../../src/server/config-text.ts'
import { auditLines } from './audit.ts'
import type { RunningCli, World } from './world.ts'

/** Starts the world's daemon, with the mask that its unit gives it; it is ended after the test. Done when it takes pushes. */
export async function startDaemon(
  t: TestContext,
  world: World,
  options: { gateway?: boolean } = {},
): Promise<RunningCli> {
  const mask = process.umask(0o077)
  const daemon = world.spawnCli(['server', 'daemon'], { timeoutMs: 600_000 })
  process.umask(mask)
  t.after(async () => {
    daemon.kill('SIGTERM')
    await daemon.result
  })
  await daemon.seen(options.gateway ? /listens on \S+ for the router/ : /listens on \S+daemon\.sock/)
  return daemon
}

/** The lines of the world's audit log and of what was refused to strangers, in their order. */
export function auditLog(world: World): Promise<Record<string, string>[]> {
  return auditLines(join(world.home, '_mypaas'))
}

/** `unix:…` of the world's daemon. */
export function socketOf(world: World): string {
  return `unix:${join(world.home, '_mypaas', 'daemon.sock')}`
}

/** Makes a server with these keys in its config. */
export async function initWith(world: World, settings: Readonly<Record<string, string | number>>): Promise<void> {
  const directory = join(world.home, '_mypaas')
  await mkdir(directory, { mode: 0o700 })
  let text = ''
  for (const [key, value] of Object.entries(settings)) text = setKey(text, 'server', key, JSON.stringify(value))
  await writeFile(join(directory, 'config.toml'), text, { mode: 0o600 })
  await world.init()
}

/** Drains and stops that wait no longer than tests have to. */
export const quick = { drain: '1s', hold_drain: '200ms', grace: '1s' } as const
