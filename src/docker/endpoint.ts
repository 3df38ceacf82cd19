import { existsSync } from 'node:fs'
import type { Endpoint } from './address.ts'
import { DockerError } from './errors.ts'

/** Finds the engine as the docker command does: `DOCKER_HOST`, else the usual sockets. */
export function findEngine(env: NodeJS.ProcessEnv = process.env): Endpoint {
  const host = env['DOCKER_HOST']
  if (host) return parseHost(host)
  const runtime = env['XDG_RUNTIME_DIR']
  const sockets = [
    '/var/run/docker.sock',
    ...(runtime ? [`${runtime}/docker.sock`, `${runtime}/podman/podman.sock`] : []),
    '/run/podman/podman.sock',
  ]
  return { kind: 'unix', path: sockets.find((path) => existsSync(path)) ?? '/var/run/docker.sock' }
}

/** @throws {DockerError} for text that is no address of an engine */
export function parseHost(text: string): Endpoint {
  if (text.startsWith('unix://') && text.length > 7) return { kind: 'unix', path: text.slice(7) }
  if (text.startsWith('/')) return { kind: 'unix', path: text }
  if (/^(tcp|https?|ssh):\/\//.test(text) && URL.canParse(text)) {
    const url = new URL(text.replace(/^\w+:/, 'ftp:'))
    const port = url.port === '' ? undefined : Number(url.port)
    const host = url.hostname.replace(/^\[|\]$/g, '')
    if (text.startsWith('ssh:')) return { kind: 'ssh', host, port, user: url.username || undefined }
    return { kind: 'tcp', host, port: port ?? 2375 }
  }
  throw new DockerError(`${JSON.stringify(text)} is no address of a Docker engine.`, {
    code: 'usage',
    hint: 'Give unix:///var/run/docker.sock, tcp://HOST:2376 or ssh://USER@HOST.',
  })
}
