import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'

const run = promisify(execFile)

/** Installs packages of Debian or Ubuntu, which needs root. Says on stderr what it does and what went wrong. @returns whether it is done */
export async function installPackages(names: readonly string[]): Promise<boolean> {
  const child = spawn(join(import.meta.dirname, 'apt-install'), names, { stdio: ['ignore', 'inherit', 'inherit'] })
  const [code] = await once(child, 'close')
  return code === 0
}

/** Fetches a package and unpacks it to `folder`/NAME without installing it. Needs root only where apt has no lists yet. */
export async function unpackPackage(name: string, folder: string): Promise<void> {
  const target = join(folder, name)
  await mkdir(target, { recursive: true })
  const fetch = () => run('apt-get', ['-qq', 'download', '-o', 'APT::Sandbox::User=root', name], { cwd: target })
  await fetch().catch(async () => {
    await run('apt-get', ['-qq', 'update'])
    await fetch()
  })
  const archive = (await readdir(target)).find((file) => file.endsWith('.deb'))
  if (!archive) throw new Error(`apt-get download ${name} left no package in ${target}`)
  await run('dpkg-deb', ['-x', join(target, archive), target])
}
