import type { ServerConfig } from './config.ts'
import { daemonSocket } from './daemon-socket.ts'

/** How a directory is pushed to a server as its config has it, in lines for a person. */
export function pushWays(directory: string, { server, router }: ServerConfig): readonly string[] {
  if (server.domain === '') return []
  const address = router.httpsPort === 443 ? server.domain : `${server.domain}:${router.httpsPort}`
  const isTrusted = router.email !== '' || router.certificates.length > 0
  const lines = isLoopback(router.bind)
    ? [`Push from this machine: mypaas push unix:${daemonSocket(directory)} DIR`]
    : isTrusted
      ? []
      : ['Push from elsewhere by ssh: mypaas push USER@HOST DIR']
  if (isTrusted)
    return [...lines, `Push ${isLoopback(router.bind) ? 'by https' : 'from elsewhere'}: mypaas push ${address} DIR`]
  const wanted = isLoopback(router.bind)
    ? `a certificate for ${server.domain} in [[router.certificates]]`
    : `a certificate: --email for Let's Encrypt, or [[router.certificates]]`
  return [...lines, `Push by https, once there is ${wanted}: mypaas push ${address} DIR`]
}

function isLoopback(bind: string): boolean {
  return bind === '::1' || bind.startsWith('127.')
}
