import { X509Certificate } from 'node:crypto'
import tls from 'node:tls'
import { concreteHost } from './health-request.ts'

/** A certificate as it is served. */
export type ServedCertificate = Readonly<{
  issuer: string
  serial: string
  notBefore: string
  notAfter: string
  /** One that browsers trust, as far as this machine can tell: its chain ends at an authority that Node or the config knows. */
  trusted: boolean
}>

/** The common name of the certificate that Traefik makes for itself where it has no other. */
const routersOwn = 'TRAEFIK DEFAULT CERT'

/**
 * The certificate that a server shows for a host name.
 * @param where.authorities PEM texts of authorities to trust besides those that Node brings.
 * @returns `undefined` when none comes, or it is not for that name
 */
export function servedCertificate(
  host: string,
  where: { address: string; port: number; authorities: readonly string[]; timeoutMs?: number },
): Promise<ServedCertificate | undefined> {
  // No name of its own belongs to a wildcard; any that it covers will do.
  const name = concreteHost({ host })
  return new Promise((resolve) => {
    const socket = tls.connect({
      host: where.address,
      port: where.port,
      servername: name,
      ALPNProtocols: ['http/1.1'],
      ca: [...tls.rootCertificates, ...where.authorities],
      // Whether it is trusted is the question, no condition.
      rejectUnauthorized: false,
      timeout: where.timeoutMs ?? 5_000,
    })
    const end = (found: ServedCertificate | undefined): void => {
      resolve(found)
      socket.destroy()
    }
    socket.once('secureConnect', () => {
      const { raw } = socket.getPeerCertificate()
      end(raw ? read(raw, name, socket.authorized) : undefined)
    })
    socket.once('timeout', () => end(undefined))
    socket.once('error', () => end(undefined))
  })
}

function read(raw: Buffer, name: string, trusted: boolean): ServedCertificate | undefined {
  const certificate = new X509Certificate(raw)
  if (certificate.subject.includes(routersOwn) || certificate.checkHost(name) === undefined) return undefined
  return {
    issuer: issuerName(certificate.issuer),
    serial: certificate.serialNumber,
    notBefore: new Date(certificate.validFrom).toISOString(),
    notAfter: new Date(certificate.validTo).toISOString(),
    trusted,
  }
}

/** `C=US\nO=Let's Encrypt\nCN=R11` → `R11, Let's Encrypt` */
function issuerName(issuer: string): string {
  const part = (key: string): string | undefined =>
    issuer
      .split('\n')
      .find((line) => line.startsWith(`${key}=`))
      ?.slice(key.length + 1)
  return [part('CN'), part('O')].filter((text) => text !== undefined).join(', ') || 'nobody'
}
