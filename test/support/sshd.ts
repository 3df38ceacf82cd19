import { type ChildProcess, spawn } from 'node:child_process'
import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir, userInfo } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { fileKeyOf } from './keys.ts'
import { until } from './until.ts'
import type { World } from './world.ts'

/**
 * A real sshd on loopback whose sessions live in the world's home and have its `mypaas`, and an `ssh` that knows it.
 * @param more more of the environment of its sessions
 * @returns what `mypaas push` calls it, and the environment for that
 */
export async function startSshd(
  t: TestContext,
  world: World,
  port: number,
  more: Readonly<Record<string, string>> = {},
): Promise<{ server: string; env: Record<string, string> }> {
  const folder = await mkdtemp(join(tmpdir(), 'mypaas-sshd-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  const file = (name: string): string => join(folder, name)
  const user = userInfo().username
  await fileKeyOf(file('host'))
  const login = await fileKeyOf(file('login'))
  await writeFile(file('logins'), `${login}\n`, { mode: 0o600 })
  await mkdir(file('bin'))
  const script = async (name: string, text: string): Promise<void> => {
    await writeFile(join(file('bin'), name), `#!/bin/sh\n${text}\n`)
    await chmod(join(file('bin'), name), 0o755)
  }
  await script('mypaas', `exec ${process.execPath} ${world.program.join(' ')} "$@"`)
  await script('ssh', `exec /usr/bin/ssh -F ${file('ssh_config')} "$@"`)
  await writeFile(
    file('ssh_config'),
    `IdentityFile ${file('login')}\nIdentitiesOnly yes\nIdentityAgent none\nUserKnownHostsFile ${file('known')}\nStrictHostKeyChecking accept-new\n`,
  )
  await writeFile(
    file('sshd_config'),
    [
      `ListenAddress 127.0.0.1:${port}`,
      `HostKey ${file('host')}`,
      `PidFile none`,
      `AuthorizedKeysFile ${file('logins')}`,
      'StrictModes no',
      'UsePAM no',
      'PermitRootLogin yes',
      'PasswordAuthentication no',
      `SetEnv HOME=${world.home} PATH=${file('bin')}:${process.env['PATH']} MYPAAS_TEST_WORLD=${world.instance}${Object.entries(
        more,
      )
        .map(([key, value]) => ` ${key}=${value}`)
        .join('')}`,
      '',
    ].join('\n'),
  )
  // Where its unprivileged half goes; made by its service unit where there is one.
  if (process.getuid?.() === 0) await mkdir('/run/sshd', { recursive: true, mode: 0o755 })
  const sshd: ChildProcess = spawn('/usr/sbin/sshd', ['-D', '-e', '-f', file('sshd_config')], {
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  t.after(() => sshd.kill())
  let said = ''
  sshd.stderr?.on('data', (text: Buffer) => {
    said += text
  })
  await until(() => /Server listening/.test(said) || sshd.exitCode !== null, { what: 'sshd to listen', everyMs: 20 })
  if (sshd.exitCode !== null) throw new Error(`sshd ended: ${said}`)
  return { server: `ssh://${user}@127.0.0.1:${port}`, env: { PATH: `${file('bin')}:${process.env['PATH']}` } }
}
