import { execFile } from 'node:child_process'
import { cp, mkdtemp, rm, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

/**
 * Compiles the command line as it is published, for tests that start it hundreds of times: plain Node starts it in a
 * third of the time that tsx takes. Gone after the test, or after the file where `after` of node:test is given.
 *
 * @returns the path of its `main.js`
 */
export async function compiledProgram(t: { after(work: () => Promise<void>): void }): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'mypaas-test-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  // Types are checked elsewhere.
  const options = ['-p', 'tsconfig.build.json', '--noCheck', '--outDir', folder]
  await promisify(execFile)(join(root, 'node_modules/.bin/tsc'), options, { cwd: root })
  // Packages and the version are found from the file's own folder upwards.
  await cp(join(root, 'package.json'), join(folder, 'package.json'))
  await symlink(join(root, 'node_modules'), join(folder, 'node_modules'))
  return join(folder, 'cli', 'main.js')
}

const root = join(dirname(fileURLToPath(import.meta.url)), '..', '..')
