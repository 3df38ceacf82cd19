import { execFile } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

/**
 * Builds one of the Go programs in `test/oracles`, which say what docker's own code makes of an input. Gone after the test.
 * @returns the path of the program
 * @throws where there is no Go, or its packages can't be had: what can't be asked was not proved
 */
export async function oracle(t: { after(work: () => Promise<void>): void }, name: string): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'mypaas-test-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  const program = join(folder, name)
  await promisify(execFile)('go', ['build', '-o', program, '.'], { cwd: join(oracles, name) }).catch((cause: Error) => {
    throw new Error(`test/oracles/${name} can't be built. Is there a Go (https://go.dev/dl)? ${cause.message}`, {
      cause,
    })
  })
  return program
}

const oracles = join(dirname(fileURLToPath(import.meta.url)), '..', 'oracles')
