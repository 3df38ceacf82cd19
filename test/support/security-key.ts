import { createHash, generateKeyPairSync, sign } from 'node:crypto'

/** A security key (FIDO) as OpenSSH sees it, without the hardware. */
export type SecurityKey = Readonly<{
  /** Its public line. */
  line: string
  /** An armored SSHSIG. `flags`: 1 says that it was touched, 4 that its user was verified. Default: 1. */
  sign: (text: string, namespace: string, options?: { flags?: number; application?: string }) => string
}>

const type = 'sk-ssh-ed25519@openssh.com'

/** @see https://github.com/openssh/openssh-portable/blob/master/PROTOCOL.u2f and PROTOCOL.sshsig there */
export function securityKey(application = 'ssh:'): SecurityKey {
  const { publicKey, privateKey } = generateKeyPairSync('ed25519')
  const point = Buffer.from(publicKey.export({ format: 'jwk' }).x ?? '', 'base64url')
  const blob = Buffer.concat([string(type), string(point), string(application)])
  return {
    line: `${type} ${blob.toString('base64')} fido`,
    sign(text, namespace, options = {}) {
      const message = Buffer.concat([
        Buffer.from('SSHSIG'),
        ...[namespace, '', 'sha512', createHash('sha512').update(text).digest()].map(string),
      ])
      const state = Buffer.from([options.flags ?? 1, 0, 0, 0, 7])
      const authenticated = Buffer.concat([sha256(options.application ?? application), state, sha256(message)])
      const signature = Buffer.concat([string(type), string(sign(null, authenticated, privateKey)), state])
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

function string(data: string | Buffer): Buffer {
  const bytes = Buffer.from(data)
  const length = Buffer.alloc(4)
  length.writeUInt32BE(bytes.length)
  return Buffer.concat([length, bytes])
}
