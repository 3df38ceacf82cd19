import { createPrivateKey } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { keyLine } from '../../src/push/server-key.ts'

/** What CI is given to know the server of a home by, as soon as that has a key. */
export function serverKeyOf(home: string): Record<string, string> {
  const file = join(home, '_mypaas', 'server-key.json')
  if (!existsSync(file)) return {}
  const { private: pem } = JSON.parse(readFileSync(file, 'utf8')) as { private: string }
  return { MYPAAS_SERVER_KEY: keyLine(createPrivateKey(pem)) }
}
