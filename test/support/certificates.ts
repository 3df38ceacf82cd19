import { execFile } from 'node:child_process'
import { chmod, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { World } from './world.ts'

const exec = promisify(execFile)

/**
 * Gives the world's router a certificate for `host`, made by a CA of the test's own.
 * @returns the file with the CA's certificate
 */
export async function certify(world: World, host: string): Promise<string> {
  const folder = join(world.home, '_mypaas', 'traefik')
  const file = (name: string): string => join(folder, name)
  const openssl = (...args: string[]) => exec('openssl', args)
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes']
  await openssl(
    'req',
    '-x509',
    ...key,
    '-keyout',
    file('ca.key'),
    '-out',
    file('ca.crt'),
    '-days',
    '2',
    '-subj',
    '/CN=test CA',
  )
  await openssl('req', ...key, '-keyout', file('test.key'), '-out', file('test.csr'), '-subj', `/CN=${host}`)
  await writeFile(file('test.ext'), `subjectAltName=DNS:${host}\n`)
  await openssl(
    'x509',
    '-req',
    '-in',
    file('test.csr'),
    '-CA',
    file('ca.crt'),
    '-CAkey',
    file('ca.key'),
    '-CAcreateserial',
    '-days',
    '2',
    '-extfile',
    file('test.ext'),
    '-out',
    file('test.crt'),
  )
  for (const name of ['test.key', 'test.crt']) await chmod(file(name), 0o644)
  const certificate = { certFile: '/etc/traefik/test.crt', keyFile: '/etc/traefik/test.key' }
  await writeFile(file('dynamic/test-certificate.yml'), JSON.stringify({ tls: { certificates: [certificate] } }), {
    mode: 0o644,
  })
  return file('ca.crt')
}
