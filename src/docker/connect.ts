import { connect as connectSocket, type Socket } from 'node:net'
import { onAbort, reasonOf } from './abort.ts'
import { type Endpoint, formatEndpoint } from './address.ts'
import { DockerUnavailableError, TimeoutError } from './errors.ts'
import type { Wire } from './pool.ts'

/**
 * Opens a byte stream to the engine.
 * @throws {DockerUnavailableError} with one sentence about what is wrong, and what to do as its hint
 * @throws {TimeoutError} when it takes longer than `timeoutMs`
 */
export async function connect(endpoint: Endpoint, options: ConnectOptions): Promise<Wire> {
  switch (endpoint.kind) {
    case 'unix':
      return opened(connectSocket({ path: endpoint.path, allowHalfOpen: true }), 'connect', endpoint, options)
    case 'tcp': {
      const { host, port, tls } = endpoint
      if (!tls)
        return opened(
          connectSocket({
            host,
            port,
            allowHalfOpen: true,
            noDelay: true,
            keepAlive: true,
            keepAliveInitialDelay: 30_000,
          }),
          'connect',
          endpoint,
          options,
        )
      const { connectTls } = await import('./connect-tls.ts')
      return opened(connectTls({ host, port, tls }), 'secureConnect', endpoint, options)
    }
    case 'ssh': {
      const { connectSsh } = await import('./connect-ssh.ts')
      return connectSsh(endpoint, options.env)
    }
  }
}

export type ConnectOptions = { timeoutMs: number; signal: AbortSignal; env: NodeJS.ProcessEnv }

function opened(
  socket: Socket,
  event: 'connect' | 'secureConnect',
  endpoint: Endpoint,
  { timeoutMs, signal }: ConnectOptions,
): Promise<Wire> {
  return new Promise((resolve, reject) => {
    const end = () => {
      clearTimeout(timer)
      unwatch()
      socket.off(event, onOpen)
      socket.off('error', onError)
      socket.off('close', onError)
    }
    const fail = (error: Error) => {
      end()
      socket.on('error', () => {})
      socket.destroy()
      reject(error)
    }
    const onOpen = () => {
      end()
      resolve(socket)
    }
    const onError = (error?: Error | boolean) => fail(explain(error instanceof Error ? error : undefined, endpoint))
    const timer = setTimeout(() => fail(tooSlow(endpoint, timeoutMs)), timeoutMs)
    const unwatch = onAbort(signal, () => fail(reasonOf(signal)))
    socket.on(event, onOpen)
    socket.on('error', onError)
    socket.on('close', onError)
    if (signal.aborted) fail(reasonOf(signal))
  })
}

function tooSlow(endpoint: Endpoint, timeoutMs: number): TimeoutError {
  return new TimeoutError(`${formatEndpoint(endpoint)} did not take the connection within ${timeoutMs} ms.`, {
    kind: 'connect',
    code: 'unreachable',
    hint: 'Look whether the address is right and no firewall drops the connection.',
  })
}

/** What a failed connection means, in one sentence, and what to do about it. */
export function explain(error: NodeJS.ErrnoException | undefined, endpoint: Endpoint): DockerUnavailableError {
  const where = formatEndpoint(endpoint)
  const file = endpoint.kind === 'unix' ? endpoint.path : where
  const [message, hint] = ((): [string, string] => {
    switch (error?.code) {
      case 'ENOENT':
        return [
          `There is no Docker engine: the socket ${file} does not exist.`,
          'Start Docker (systemctl start docker), or set DOCKER_HOST to where the engine listens.',
        ]
      case 'ENOTDIR':
      case 'ENOTSOCK':
        return [
          `${file} is not a socket.`,
          'Set DOCKER_HOST to where the engine listens, e.g. unix:///var/run/docker.sock.',
        ]
      case 'EACCES':
      case 'EPERM':
        return [
          `No permission to use the Docker socket ${file}.`,
          'Run as root, or add the user to the docker group (usermod -aG docker USER) and log in again.',
        ]
      case 'ECONNREFUSED':
        return [
          `The connection to ${file} was refused: no engine listens there.`,
          endpoint.kind === 'unix'
            ? 'Start Docker (systemctl start docker) and look at its log (journalctl -u docker).'
            : 'Look whether the engine runs there and listens on that port (dockerd -H tcp://…).',
        ]
      case 'ENOTFOUND':
      case 'EAI_AGAIN':
        return [
          `The name of the engine's host in ${where} was not found.`,
          'Look at DOCKER_HOST and at the name service.',
        ]
      case 'EHOSTUNREACH':
      case 'ENETUNREACH':
      case 'ETIMEDOUT':
        return [`The host in ${where} can't be reached.`, 'Look at the network, and whether the address is right.']
    }
    const text = error ? `${error.code ?? ''} ${error.message}` : 'closed at once'
    if (
      endpoint.kind === 'tcp' &&
      endpoint.tls &&
      /cert|ssl|tls|self.signed|UNABLE_TO|ERR_TLS|wrong version/i.test(text)
    ) {
      return [
        `The TLS connection to ${where} failed: ${error?.message}.`,
        'Look whether ca.pem belongs to that engine, cert.pem and key.pem are accepted there, and the name is in its certificate.',
      ]
    }
    return [
      `The connection to ${where} failed: ${error?.message ?? 'it was closed at once'}.`,
      'Look whether an engine listens there.',
    ]
  })()
  return new DockerUnavailableError(message, { hint, cause: error })
}
