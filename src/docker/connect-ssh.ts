import { spawn } from 'node:child_process'
import { Duplex } from 'node:stream'
import { type Endpoint, formatEndpoint } from './address.ts'
import { DockerUnavailableError } from './errors.ts'
import type { Wire } from './pool.ts'

/**
 * Joins the pipes of `ssh HOST docker system dial-stdio` to a stream. The user's own ssh, so agent, jump hosts and known
 * hosts work as they do in a shell. Done when the process has started; what ssh says against it ends the stream with an error.
 */
export function connectSsh(endpoint: Extract<Endpoint, { kind: 'ssh' }>, env: NodeJS.ProcessEnv): Promise<Wire> {
  const { user, host, port, path } = endpoint
  const args = [
    ...(user === undefined ? [] : ['-l', user]),
    ...(port === undefined ? [] : ['-p', String(port)]),
    '-o',
    'ConnectTimeout=30',
    '-T',
    '--',
    host,
    'docker',
    ...(path === undefined ? [] : ['--host', `unix://${path}`]),
    'system',
    'dial-stdio',
  ]
  const child = spawn('ssh', args, { env, stdio: ['pipe', 'pipe', 'pipe'] })
  const { stdin, stdout, stderr } = child
  let said = ''
  stderr.setEncoding('utf8').on('data', (text: string) => {
    said = (said + text).slice(-2000)
  })
  const failure = (cause?: Error): DockerUnavailableError => {
    const missing = (cause as NodeJS.ErrnoException | undefined)?.code === 'ENOENT'
    const why = missing
      ? 'there is no ssh program'
      : said.trim().split('\n').at(-1)?.replace(/\.$/, '') || cause?.message || 'ssh ended'
    return new DockerUnavailableError(`The connection to ${formatEndpoint(endpoint)} failed: ${why}.`, {
      hint: missing
        ? 'Install an OpenSSH client.'
        : `Try it by hand: ssh ${user ? `${user}@` : ''}${host} docker version`,
      cause,
    })
  }

  const closed = new Promise((resolve) => child.once('close', resolve))

  const wire: Wire = new Duplex({
    allowHalfOpen: true,
    read: () => stdout.resume(),
    write: (chunk, encoding, done) => {
      // A broken pipe says less than what ssh says before it ends.
      stdin.write(chunk, encoding, (error) => (error ? void closed.then(() => done(failure(error))) : done()))
    },
    final: (done) => void stdin.end(() => done()),
    destroy: (error, done) => {
      stdin.destroy()
      stdout.destroy()
      stderr.destroy()
      child.kill()
      done(error)
    },
  })
  stdin.on('error', () => {})
  // Its user listens for itself; before there is one, the promise tells.
  wire.on('error', () => {})
  stdout.on('data', (chunk: Buffer) => wire.push(chunk) || stdout.pause())
  stdout.on('end', () => {
    // Whether that was the end or a break, ssh says by its exit code; it need not end now, though.
    const timer = setTimeout(() => wire.push(null), exitWaitMs)
    void closed.then(() => {
      clearTimeout(timer)
      if (child.exitCode === 0) wire.push(null)
      else wire.destroy(failure())
    })
  })
  const parts = [child, stdin, stdout, stderr] as unknown as { ref?(): void; unref?(): void }[]
  Object.assign(wire, {
    ref: () => parts.forEach((part) => void part.ref?.()),
    unref: () => parts.forEach((part) => void part.unref?.()),
  })
  return new Promise((resolve, reject) => {
    child.once('spawn', () => {
      child.on('error', () => {})
      resolve(wire)
    })
    child.once('error', (error) => reject(failure(error)))
  })
}

const exitWaitMs = 1000
