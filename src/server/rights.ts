import { MypaasError } from '../errors.ts'
import { type AuthorizedKey, coversService } from './keys.ts'

/** @throws {MypaasError} `unauthorised` when the key is limited to other services */
export function mayReach(key: AuthorizedKey, service: string): void {
  if (!coversService(key, service)) throw notAllowed(`The key may not reach ${service}.`)
}

/** @throws {MypaasError} `unauthorised` when the key may not change the service */
export function mayDeploy(key: AuthorizedKey, service: string): void {
  if (key.readOnly) throw notAllowed('The key may only read.')
  mayReach(key, service)
}

export function notAllowed(message: string): MypaasError {
  return new MypaasError(message, {
    code: 'unauthorised',
    hint: 'What it may is in ~/_mypaas/authorized_keys of the server: mypaas server key ls',
  })
}

/** How people know a key. */
export function nameOf(key: AuthorizedKey): string {
  return key.comment === '' ? key.fingerprint : key.comment
}
