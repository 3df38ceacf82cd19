import { execFile, spawn } from 'node:child_process'
import { cp, mkdir, mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { promisify } from 'node:util'
import { installPackages } from '../../scripts/apt.ts'
import { Docker, NotFoundError } from '../../src/docker/index.ts'

const run = promisify(execFile)

/**
 * Has the engine know `python:3.8-slim-buster`, on which the manual's example builds, also where no registry answers:
 * then it is made from Debian packages (a newer Debian and Python, the same commands), for this test only. Takes about a
 * minute, and root on Debian or Ubuntu.
 */
export async function pythonBase(t: TestContext): Promise<string> {
  const docker = new Docker()
  let made = false
  t.after(async () => {
    if (made) await docker.images.remove(name, { force: true })
    docker.close()
  })
  const [repo, tag] = ['python', '3.8-slim-buster']
  const name = `${repo}:${tag}`
  if (await isThere(docker, name)) return name
  const root = await mkdtemp(join(tmpdir(), 'mypaas-test-'))
  t.after(() => rm(root, { recursive: true, force: true }))
  await bootstrap(root)
  const archive = spawn('tar', ['-C', root, '-c', '.'], { stdio: ['ignore', 'pipe', 'inherit'] })
  // With pip's settings of this machine, so that RUN lines reach what it reaches.
  const pip = ['PIP_INDEX_URL', 'PIP_TRUSTED_HOST'].flatMap((key) =>
    process.env[key] ? [`ENV ${key}=${process.env[key]}`] : [],
  )
  const changes = ['ENV PIP_CERT=/etc/ssl/certs/ca-certificates.crt', ...pip, 'LABEL io.mypaas.test=1']
  made = true
  await docker.images.import(archive.stdout, { repo, tag, changes })
  return name
}

async function isThere(docker: Docker, name: string): Promise<boolean> {
  try {
    await docker.images.inspect(name)
    return true
  } catch (error) {
    if (error instanceof NotFoundError) return false
    throw error
  }
}

async function bootstrap(root: string): Promise<void> {
  const tool = await run('sh', ['-c', 'command -v debootstrap']).catch(() => undefined)
  if (!tool) await installPackages(['debootstrap'])
  const packages = 'ca-certificates,python3,python3-pip,python-is-python3'
  const options = [
    '--variant=minbase',
    '--no-check-gpg',
    `--include=${packages}`,
    'bookworm',
    root,
    ...(await debianMirror()),
  ]
  await run('debootstrap', options, { maxBuffer: 64 * 1024 ** 2 })
  for (const folder of await readdir(join(root, 'usr', 'lib')))
    if (folder.startsWith('python3')) await rm(join(root, 'usr', 'lib', folder, 'EXTERNALLY-MANAGED'), { force: true })
  // What this machine needs to reach packages: proxies for apt, certificates.
  for (const file of await readdir('/etc/apt/apt.conf.d'))
    if (file.startsWith('99')) await cp(join('/etc/apt/apt.conf.d', file), join(root, 'etc/apt/apt.conf.d', file))
  const certificates = await readdir('/usr/local/share/ca-certificates').catch(() => [])
  const target = join(root, 'usr/local/share/ca-certificates')
  await mkdir(target, { recursive: true })
  for (const file of certificates.filter((name) => name.endsWith('.crt')))
    await cp(join('/usr/local/share/ca-certificates', file), join(target, file), { dereference: true })
  await run('chroot', [root, 'update-ca-certificates'])
}

/** Where this machine gets Debian's packages; nothing where debootstrap's own choice will do. */
async function debianMirror(): Promise<string[]> {
  const folder = '/etc/apt/sources.list.d'
  for (const file of await readdir(folder).catch(() => [])) {
    if (!file.endsWith('.sources')) continue
    const found = /^URIs:\s*(\S+\/debian)\/?(?:\s|$)/m.exec(await readFile(join(folder, file), 'utf8'))
    if (found?.[1]) return [found[1]]
  }
  return []
}
