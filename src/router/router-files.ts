import { createHash } from 'node:crypto'
import { chmod, chown, mkdir, readdir, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { type Docker, NotFoundError } from '../docker/index.ts'
import { MypaasError } from '../errors.ts'
import { readIfThere, writeDurably } from '../files.ts'
import { baseFile, type RouterCertificates } from './config.ts'
import type { RouterContainer } from './container.ts'
import { entryFile } from './entry-file.ts'
import { staticFile } from './static-file.ts'

/**
 * Writes the base of the routes anew where it is not as it should be: the way to the daemon may have changed. What the
 * router reads at its start is left as it is: that comes with another router, by {@link writeRouterFiles}.
 */
export async function refreshRouterFiles(docker: Docker, wanted: RouterContainer): Promise<void> {
  await writeBase(wanted, await readCertificates(wanted), await daemonAddress(docker, wanted))
}

/**
 * Mends the way to the daemon where somebody who saw the daemon's port otherwise wrote it. All else of the files is left
 * to who writes them: a replacement may be on, with a config to come.
 */
export async function mendDaemonWay(docker: Docker, wanted: RouterContainer): Promise<void> {
  const files = await readCertificates(wanted)
  const address = await daemonAddress(docker, wanted)
  const other = address === undefined ? await gatewayOf(docker, wanted.networks.edge) : undefined
  const wrong = baseFile(wanted.settings, { gateway: other, certificates: files.own })
  if ((await readIfThere(join(wanted.directory, 'dynamic/base.yml'))) !== wrong) return
  await writeBase(wanted, files, address)
}

/** Where the way to the daemon leads; `undefined` for nowhere. */
export async function daemonAddress(docker: Docker, wanted: RouterContainer): Promise<string | undefined> {
  const gateway = await gatewayOf(docker, wanted.networks.edge)
  return gateway && (await wanted.isDaemonPortTaken?.(gateway)) ? undefined : gateway
}

/** Copies of a person's PEM files, named by content: a renewed certificate is another file, which the router sees. */
export type Copies = RouterCertificates & Readonly<{ contents: Readonly<Record<string, string>> }>

export async function readCertificates({ authorities = [], certificates = [] }: RouterContainer): Promise<Copies> {
  const contents: Record<string, string> = {}
  const copy = async (file: string, ending: string): Promise<string> => {
    const text = await readFile(file, 'utf8').catch((cause: NodeJS.ErrnoException) => {
      throw new MypaasError(`${file} can't be read (${cause.code}), which [router] of config.toml names.`, {
        code: 'usage',
        hint: 'Put it there, or take it out of config.toml.',
        cause,
      })
    })
    const name = `${createHash('sha256').update(text).digest('hex').slice(0, 16)}.${ending}`
    contents[name] = text
    return `/etc/traefik/${certificateFolder}/${name}`
  }
  return {
    authorities: await Promise.all(authorities.map((file) => copy(file, 'ca'))),
    own: await Promise.all(
      certificates.map(async ({ cert, key }) => ({
        certFile: await copy(cert, 'crt'),
        keyFile: await copy(key, 'key'),
      })),
    ),
    contents,
  }
}

const certificateFolder = 'certificates'

/** Writes all that is the router's own, as a router like `wanted` reads it. */
export async function writeRouterFiles(
  wanted: RouterContainer,
  files: Copies,
  gateway: string | undefined,
): Promise<void> {
  const { settings } = wanted
  await writeBase(wanted, files, gateway)
  await put(wanted, 'dynamic/entry.yml', entryFile(settings))
  await put(wanted, 'traefik.yml', staticFile(settings, files.authorities))
  await removeOthers(wanted, files, isAuthority)
}

async function writeBase(wanted: RouterContainer, files: Copies, gateway: string | undefined): Promise<void> {
  await makeFolders(wanted)
  for (const [name, text] of Object.entries(files.contents)) await put(wanted, join(certificateFolder, name), text)
  await put(wanted, 'dynamic/base.yml', baseFile(wanted.settings, { gateway, certificates: files.own }))
  // The router that runs names authorities in what it reads at its start.
  await removeOthers(wanted, files, (name) => !isAuthority(name))
}

async function removeOthers(
  { directory }: RouterContainer,
  { contents }: Copies,
  isMeant: (name: string) => boolean,
): Promise<void> {
  const folder = join(directory, certificateFolder)
  for (const name of await readdir(folder))
    if (!(name in contents) && isMeant(name)) await rm(join(folder, name), { force: true })
}

function isAuthority(name: string): boolean {
  return name.endsWith('.ca')
}

async function makeFolders({ directory, user }: RouterContainer): Promise<void> {
  const [uid, gid] = user.split(':').map(Number) as [number, number]
  const folder = async (name: string, mode: number, owner: 'ours' | 'router'): Promise<void> => {
    const path = join(directory, name)
    await mkdir(path, { recursive: true, mode })
    await chmod(path, mode)
    if (isRoot()) await chown(path, owner === 'router' ? uid : 0, gid)
  }
  await folder('.', 0o750, 'ours')
  await folder('dynamic', 0o750, 'ours')
  await folder('acme', 0o700, 'router')
  await folder(certificateFolder, 0o750, 'ours')
  await mkdir(join(directory, 'state'), { recursive: true, mode: 0o700 })
}

async function put({ directory, user }: RouterContainer, file: string, content: string): Promise<void> {
  if ((await readIfThere(join(directory, file))) === content) return
  await writeDurably(join(directory, file), content, {
    scratch: join(directory, 'state'),
    mode: 0o640,
    groupId: isRoot() ? Number(user.split(':')[1]) : -1,
  })
}

function isRoot(): boolean {
  return process.getuid?.() === 0
}

/** The machine's own address on a network, where its daemon is reached from containers on it. */
export async function gatewayOf(docker: Docker, network: string): Promise<string | undefined> {
  const found = await docker.networks.inspect(network).catch((error: unknown) => {
    if (error instanceof NotFoundError) return undefined
    throw error
  })
  const gateways = found?.IPAM?.Config?.flatMap(({ Gateway }) => (Gateway ? [Gateway.replace(/\/\d+$/, '')] : []))
  return gateways?.find((address) => !address.includes(':')) ?? gateways?.[0]
}
