import { execFile } from 'node:child_process'
import { cp, mkdir, mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

/**
 * Builds and packs the project as it is published, and installs the package into a prefix of its own, as
 * `npm install --global` does. What it depends on comes from npm's cache where it is there. Gone after the test.
 *
 * @returns the installed `mypaas`
 */
export async function installedProgram(t: { after(work: () => Promise<void>): void }): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'mypaas-test-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  const [sources, prefix] = [join(folder, 'sources'), join(folder, 'prefix')]
  await mkdir(sources)
  // A copy, for the directory's own `dist` may be in use.
  for (const name of published) await cp(join(root, name), join(sources, name), { recursive: true })
  const npm = (...args: string[]) => promisify(execFile)('npm', args, { cwd: sources, timeout: 120_000 })
  // What `npm run build` does, but for the types, which are checked elsewhere.
  const build = ['-p', join(root, 'tsconfig.build.json'), '--noCheck', '--outDir', join(sources, 'dist')]
  await promisify(execFile)(join(root, 'node_modules/.bin/tsc'), build, { cwd: root })
  await npm('pack', '--silent', '--pack-destination', folder)
  const tarball = (await readdir(folder)).find((name) => name.endsWith('.tgz'))
  if (tarball === undefined) throw new Error(`npm pack left no package in ${folder}`)
  const quiet = ['--prefer-offline', '--no-audit', '--no-fund', '--loglevel=error']
  await npm('install', '--global', '--prefix', prefix, ...quiet, join(folder, tarball))
  return join(prefix, 'bin', 'mypaas')
}

const root = join(dirname(fileURLToPath(import.meta.url)), '..', '..')
const published = ['package.json', 'README.md', 'LICENSE', 'CHANGELOG.md']
