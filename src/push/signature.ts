import { type ChildProcess, spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { MypaasError } from '../errors.ts'
import { verifySignature } from '../ssh/sshsig.ts'
import { namespace } from './statement.ts'

/**
 * Signs a text with the user's own SSH key: `ssh-keygen -Y sign`, which brings agents, passphrases and hardware keys.
 * It asks for a passphrase only where there is a terminal to ask on.
 * @param keyFile a private key, or the public half of one that the agent holds
 * @returns an armored SSHSIG
 * @throws {MypaasError} `unauthorised` saying why the key can't be used
 */
export async function sign(text: string, keyFile: string): Promise<string> {
  const { code, stdout, stderr } = await sshKeygen(['-Y', 'sign', '-q', '-n', namespace, '-f', keyFile], {
    input: text,
    mayAsk: true,
    timeoutMs: 120_000,
  })
  if (code === 0 && stdout.startsWith('-----BEGIN SSH SIGNATURE-----')) return stdout
  throw new MypaasError(`The key ${keyFile} can't be used: ${lastLine(stderr) || `ssh-keygen ended with ${code}`}.`, {
    code: 'unauthorised',
    hint: /No private key found|invalid format|error in libcrypto/.test(stderr)
      ? otherFormat
      : process.stdin.isTTY
        ? 'Add it to the agent (ssh-add), or name another one with --key.'
        : 'There is no terminal to ask for a passphrase on: add it to the agent (ssh-add), or set MYPAAS_PRIVATE_KEY.',
  })
}

/** What to do with a file that ssh-keygen reads no key from. */
export const otherFormat =
  'Keys of ed25519, ecdsa or rsa as ssh-keygen makes them work; a PEM file (PKCS8) of an ed25519 key only where OpenSSH is 9.6 or newer. Make another key: ssh-keygen -t ed25519, or for a machine mypaas key gen'

/**
 * Whether a signature is one of this key for this text and for our namespace: as `ssh-keygen -Y verify`, in this process.
 * One of a hardware key counts only if it was touched for it.
 * @param key `TYPE BASE64`, as it stands in authorized_keys
 */
export function verify(text: string, signature: string, key: string): boolean {
  return verifySignature(text, signature, key, namespace)
}

/** `SHA256:…` as OpenSSH shows it. @param key the key's base64 */
export function fingerprint(key: string): string {
  return `SHA256:${createHash('sha256').update(Buffer.from(key, 'base64')).digest('base64').replace(/=+$/, '')}`
}

export type Ran = Readonly<{ code: number | null; stdout: string; stderr: string }>

/**
 * Runs ssh-keygen.
 * @param options.mayAsk It may ask on the terminal; without one, or without leave, it has none to ask on.
 * @throws {MypaasError} `failed` when there is no such program
 */
export function sshKeygen(
  args: readonly string[],
  options: { input?: string; mayAsk: boolean; timeoutMs: number },
): Promise<Ran> {
  return run('ssh-keygen', args, options)
}

/** Runs one of OpenSSH's programs. */
export function run(
  program: string,
  args: readonly string[],
  options: { input?: string; mayAsk: boolean; timeoutMs: number },
): Promise<Ran> {
  const { MYPAAS_PRIVATE_KEY: _, ...environment } = process.env
  return new Promise((resolve, reject) => {
    const child: ChildProcess = spawn(program, args, {
      env: { ...environment, LC_ALL: 'C', SSH_ASKPASS_REQUIRE: 'never' },
      stdio: 'pipe',
      // A session of its own has no terminal: then nothing can be asked.
      detached: !(options.mayAsk && process.stdin.isTTY === true),
      timeout: options.timeoutMs,
    })
    let stdout = ''
    let stderr = ''
    child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      stdout += text
    })
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      stderr = (stderr + text).slice(-4000)
    })
    child.stdin?.on('error', () => {}) // it may end without reading
    child.stdin?.end(options.input ?? '')
    child.on('error', (cause) => {
      const hint = 'It is part of OpenSSH: apt-get install openssh-client'
      reject(new MypaasError(`There is no ${program} here.`, { code: 'failed', hint, cause }))
    })
    child.on('close', (code) => resolve({ code, stdout, stderr }))
  })
}

export function lastLine(text: string): string {
  return (text.trim().split(/\r?\n/).at(-1) ?? '').replace(/[.:\s]+$/, '')
}
