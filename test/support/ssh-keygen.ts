import { execFile, spawnSync } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'

const exec = promisify(execFile)

/** What the real `ssh-keygen -Y verify` says to a signature. @param key `TYPE BASE64` */
export async function keygenVerifies(
  text: string,
  signature: string,
  key: string,
  namespace: string,
): Promise<boolean> {
  const folder = await mkdtemp(join(tmpdir(), 'mypaas-test-verify-'))
  try {
    const [signers, file] = [join(folder, 'signers'), join(folder, 'signature')]
    await writeFile(signers, `key namespaces="${namespace}" ${key}\n`)
    await writeFile(file, signature)
    const args = ['-Y', 'verify', '-q', '-f', signers, '-I', 'key', '-n', namespace, '-s', file]
    const running = exec('ssh-keygen', args)
    running.child.stdin?.on('error', () => {}).end(text)
    return await running.then(
      () => true,
      () => false,
    )
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/** A signature by the real ssh-keygen. */
export function keygenSigns(text: string, keyFile: string, namespace: string, hash = 'sha512'): string {
  const args = ['-Y', 'sign', '-q', '-O', `hashalg=${hash}`, '-n', namespace, '-f', keyFile]
  const { stdout, stderr, status } = spawnSync('ssh-keygen', args, { input: text, encoding: 'utf8' })
  if (status !== 0) throw new Error(stderr)
  return stdout
}
