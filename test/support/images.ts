import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { realpath, stat } from 'node:fs/promises'
import { promisify } from 'node:util'
import { busyboxEntries } from '../../scripts/busybox.ts'
import { baseEntries, type RootfsEntry, rootfs } from '../../scripts/rootfs.ts'
import { ConflictError, type Docker, NotFoundError } from '../../src/docker/index.ts'

/**
 * The base image of test services: this machine's Node, a shell, the CA certificates. Made once per engine and kept,
 * made anew when Node changed. Its working directory is `/app`.
 *
 * @returns the name for `FROM`
 */
export async function nodeImage(docker: Docker): Promise<string> {
  return ensure(docker, 'mypaas-test/node', await nodeEntries(), [
    'ENV PATH=/usr/local/bin:/usr/bin:/bin',
    'WORKDIR /app',
    'CMD ["node"]',
  ])
}

/**
 * As Debian's images are: dash as `/bin/sh`, bash, some of the core utilities, Python and Node. Its working directory is
 * `/app`. @returns the name for `FROM`
 */
export async function debianImage(docker: Docker): Promise<string> {
  const found = await Promise.all(debianPrograms.map(findProgram))
  const programs: (readonly [path: string, from: string])[] = found.map((path, index) => [
    `/bin/${debianPrograms[index]}`,
    path,
  ])
  const python = await pythonFiles()
  const entries = [
    ...(await programEntries([...programs, ['/usr/local/bin/node', await realpath(process.execPath)]], python)),
    { kind: 'symlink', path: '/bin/sh', target: 'dash' } as const,
    { kind: 'symlink', path: '/usr/local/bin/python', target: python[0] as string } as const,
  ]
  return ensure(docker, 'mypaas-test/debian', entries, [
    'ENV PATH=/usr/local/bin:/usr/bin:/bin',
    'WORKDIR /app',
    'CMD ["bash"]',
  ])
}

const debianPrograms = ['dash', 'bash', 'cat', 'chmod', 'env', 'id', 'ls', 'mkdir', 'rm', 'sleep', 'tee']

/** A shell and its tools, nothing else. @returns the name for `FROM` */
export async function busyboxImage(docker: Docker): Promise<string> {
  const entries = [...baseEntries(), ...(await busyboxEntries())]
  return ensure(docker, 'mypaas-test/busybox', entries, ['ENV PATH=/bin', 'CMD ["sh"]'])
}

/** One static program and no shell: a web server on port 80 that answers `scratch`. @returns the name for `FROM` */
export async function scratchImage(docker: Docker): Promise<string> {
  const [busybox] = await busyboxEntries()
  if (busybox?.kind !== 'file') throw new Error('busyboxEntries() starts with the program itself')
  const entries: RootfsEntry[] = [
    { ...busybox, path: '/httpd' },
    { kind: 'text', path: '/www/index.html', text: 'scratch\n' },
  ]
  return ensure(docker, 'mypaas-test/scratch', entries, ['CMD ["/httpd", "-f", "-p", "80", "-h", "/www"]'])
}

/** Node, a shell, and flock, which Debian's busybox lacks and the test app needs. */
async function nodeEntries(): Promise<RootfsEntry[]> {
  const programs: readonly (readonly [path: string, from: string])[] = [
    ['/usr/local/bin/node', await realpath(process.execPath)],
    ['/usr/local/bin/flock', await realpath('/usr/bin/flock')],
  ]
  return [...(await busyboxEntries()), ...(await programEntries(programs))]
}

/** Programs of this machine, and what they need; with files that are where they are here. */
async function programEntries(
  programs: readonly (readonly [path: string, from: string])[],
  files: readonly string[] = [],
): Promise<RootfsEntry[]> {
  const libraries = await Promise.all([...programs.map(([, from]) => from), ...files].map(librariesOf))
  return [
    ...baseEntries(),
    ...programs.map(([path, from]): RootfsEntry => ({ kind: 'file', path, from, mode: 0o755 })),
    ...[...new Set([...libraries.flat(), ...files])].map(
      (path): RootfsEntry => ({ kind: 'file', path, from: path, mode: 0o755 }),
    ),
  ]
}

async function findProgram(name: string): Promise<string> {
  const { stdout } = await promisify(execFile)('sh', ['-c', 'command -v "$1"', 'sh', name])
  return realpath(stdout.trim())
}

/** This machine's Python, and the files of its library that a small server needs; the program first. */
async function pythonFiles(): Promise<string[]> {
  const list = `import encodings.idna, encodings.ascii, encodings.latin_1, http.server, signal, sys, threading, time
print(sys.executable)
for module in list(sys.modules.values()):
    if getattr(module, '__file__', None): print(module.__file__)`
  const { stdout } = await promisify(execFile)('python3', ['-c', list])
  const [program = '', ...modules] = stdout.trim().split('\n')
  return [await realpath(program), ...new Set(modules)]
}

async function librariesOf(program: string): Promise<string[]> {
  // What is no program has none.
  const { stdout } = await promisify(execFile)('ldd', [program]).catch(() => ({ stdout: '' }))
  return [...stdout.matchAll(/(?:=> )?(\/\S+) \(0x/g)].map((match) => match[1] as string)
}

/** Imports the image unless the engine has one that was made of the same files. */
async function ensure(docker: Docker, repo: string, entries: RootfsEntry[], changes: string[]): Promise<string> {
  const recipe = await fingerprint(entries, changes)
  const present = await docker.images.inspect(`${repo}:latest`).catch((error: unknown) => {
    if (error instanceof NotFoundError) return undefined
    throw error
  })
  if (present?.Config?.Labels?.['io.mypaas.recipe'] === recipe) return repo
  // Not `mypaas.…`: containers and images inherit labels from their base, and a service's image may not bring those.
  const labels = ['LABEL io.mypaas.test=1', `LABEL io.mypaas.recipe=${recipe}`]
  await docker.images.import(rootfs(entries), { repo, tag: 'latest', changes: [...changes, ...labels] })
  if (present)
    await docker.images.remove(present.Id).catch((error: unknown) => {
      // A container or image still uses it; or another run of tests removes it at this moment (Docker 20.10: a 500).
      const isGoing = error instanceof Error && /unrecognized image ID/.test(error.message)
      if (!(error instanceof ConflictError || error instanceof NotFoundError || isGoing)) throw error
    })
  return repo
}

async function fingerprint(entries: RootfsEntry[], changes: string[]): Promise<string> {
  const hash = createHash('sha256').update(JSON.stringify([entries, changes]))
  for (const entry of entries) {
    if (entry.kind !== 'file') continue
    const { size, mtimeMs } = await stat(entry.from)
    hash.update(`\n${size} ${mtimeMs}`)
  }
  return hash.digest('hex').slice(0, 16)
}
