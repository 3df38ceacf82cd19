import { ProtocolError } from './errors.ts'
import type { PathStat } from './types/container.ts'

/** The header of archive answers that says what is at the path. */
export function decodePathStat(headers: Record<string, string>): PathStat {
  try {
    return JSON.parse(Buffer.from(headers['x-docker-container-path-stat'] ?? '', 'base64').toString()) as PathStat
  } catch (cause) {
    throw new ProtocolError('The engine did not say what is at that path.', { cause })
  }
}
