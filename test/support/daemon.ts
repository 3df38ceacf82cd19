import { execFile } from 'node:child_process'
import { mkdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { promisify } from 'node:util'
import type { RunningCli, World } from './world.ts'

const exec = promisify(execFile)

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

/** Makes a key without passphrase in a home; `~/.ssh/id_ed25519` unless named. @returns the public line */
export async function makeKey(
  home: string,
  options: { type?: string; bits?: number; file?: string; passphrase?: string } = {},
): Promise<string> {
  const file = options.file ?? join(home, '.ssh', `id_${options.type ?? 'ed25519'}`)
  await mkdir(join(file, '..'), { recursive: true, mode: 0o700 })
  const bits = options.bits === undefined ? [] : ['-b', String(options.bits)]
  await exec('ssh-keygen', [
    '-q',
    '-t',
    options.type ?? 'ed25519',
    ...bits,
    '-N',
    options.passphrase ?? '',
    '-C',
    'test',
    '-f',
    file,
  ])
  return (await readFile(`${file}.pub`, 'utf8')).trim()
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
