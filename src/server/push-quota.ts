import { defaultLimits, type PushLimits } from '../push/manifest.ts'
import type { ServerConfig } from './config.ts'

/** How much pushes may use. */
export type PushQuota = Readonly<{
  limits: PushLimits
  /** Of all services together. */
  storeBytes: number
  /** Of one service; and of all the services of a key that is limited to some, together. */
  serviceBytes: number
  /** What must stay free on the disk. */
  reserveBytes: number
  /** Pushes that are not committed yet. */
  perKey: number
  inAll: number
  /** Pushes of a key that wait for their deploy, or are at it. */
  waitingPerKey: number
  /** A push that lies idle that long is forgotten; what it brought stays for the next one. */
  idleMs: number
}>

/** What the config lets pushes use. */
export function pushQuota({ pushBytes, pushStoreBytes, pushServiceBytes }: ServerConfig['server']): PushQuota {
  return {
    limits: { ...defaultLimits, bytes: pushBytes, fileBytes: pushBytes },
    storeBytes: pushStoreBytes,
    serviceBytes: pushServiceBytes,
    reserveBytes: 512 * 1024 ** 2,
    perKey: 4,
    inAll: 16,
    waitingPerKey: 100,
    idleMs: 10 * 60_000,
  }
}
