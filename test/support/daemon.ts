import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import type { RunningCli, World } from './world.ts'

/** Starts the world's daemon; it is ended after the test. Done when it takes pushes. */
export async function startDaemon(
  t: TestContext,
  world: World,
  options: { gateway?: boolean } = {},
): Promise<RunningCli> {
  const daemon = world.spawnCli(['server', 'daemon'], { timeoutMs: 600_000 })
  t.after(async () => {
    daemon.kill('SIGTERM')
    await daemon.result
  })
  await daemon.seen(options.gateway ? /listens on \S+ for the router/ : /listens on \S+daemon\.sock/)
  return daemon
}

/** The lines of the world's audit log. */
export async function auditLog(world: World): Promise<Record<string, string>[]> {
  const text = await readFile(join(world.home, '_mypaas', 'audit.log'), 'utf8').catch(() => '')
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Record<string, string>)
}

/** `unix:…` of the world's daemon. */
export function socketOf(world: World): string {
  return `unix:${join(world.home, '_mypaas', 'daemon.sock')}`
}
