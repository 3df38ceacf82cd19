import { createHash, generateKeyPairSync, sign } from 'node:crypto'
import { positive, string } from '../../src/ssh/wire.ts'

/** A security key (FIDO) as OpenSSH sees it, without the hardware. */
export type SecurityKey = Readonly<{
  /** Its public line. */
  line: string
  /** An armored SSHSIG. `flags`: 1 says that it was touched, 4 that its user was verified. Default: 1. */
  sign: (text: string, namespace: string, options?: { flags?: number; application?: string }) => string
}>

/** @see https://github.com/openssh/openssh-portable/blob/master/PROTOCOL.u2f and PROTOCOL.sshsig there */
export function securityKey(application = 'ssh:', kind: 'ed25519' | 'ecdsa' = 'ed25519'): SecurityKey {
  const type = kind === 'ed25519' ? 'sk-ssh-ed25519@openssh.com' : 'sk-ecdsa-sha2-nistp256@openssh.com'
  const { publicKey, privateKey } =
    kind === 'ed25519' ? generateKeyPairSync('ed25519') : generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const { x = '', y = '' } = publicKey.export({ format: 'jwk' })
  const [left, right] = [x, y].map((part) => Buffer.from(part, 'base64url')) as [Buffer, Buffer]
  const point = kind === 'ed25519' ? [string(left)] : [string('nistp256'), string(Buffer.concat([four, left, right]))]
  const blob = Buffer.concat([string(type), ...point, string(application)])
  const signWith = (data: Buffer): Buffer => {
    if (kind === 'ed25519') return sign(null, data, privateKey)
    const both = sign('sha256', data, { key: privateKey, dsaEncoding: 'ieee-p1363' })
    return Buffer.concat([positive(both.subarray(0, 32)), positive(both.subarray(32))])
  }
  return {
    line: `${type} ${blob.toString('base64')} fido`,
    sign(text, namespace, options = {}) {
      const message = Buffer.concat([
        Buffer.from('SSHSIG'),
        ...[namespace, '', 'sha512', createHash('sha512').update(text).digest()].map(string),
      ])
      const state = Buffer.from([options.flags ?? 1, 0, 0, 0, 7])
      const authenticated = Buffer.concat([sha256(options.application ?? application), state, sha256(message)])
      const signature = Buffer.concat([string(type), string(signWith(authenticated)), state])
      const whole = Buffer.concat([
        Buffer.from('SSHSIG'),
        Buffer.from([0, 0, 0, 1]),
        ...[blob, namespace, '', 'sha512', signature].map(string),
      ])
      const lines = whole.toString('base64').match(/.{1,70}/g) ?? []
      return ['-----BEGIN SSH SIGNATURE-----', ...lines, '-----END SSH SIGNATURE-----', ''].join('\n')
    },
  }
}

function sha256(data: string | Buffer): Buffer {
  return createHash('sha256').update(data).digest()
}

const four = Buffer.from([4])
