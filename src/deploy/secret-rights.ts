import { sampleEnvironment } from '../service/environment.ts'
import type { ServiceSpec } from '../service/spec.ts'
import type { Host } from './host.ts'
import type { JournalRelease } from './journal.ts'
import { markOf } from './secrets.ts'

/**
 * Whose secrets a release may have: `server`, those of all services and its own, or `service`, its own alone, which is
 * all that a key limited to some services can give. It is a property of the release from its deploy on, whoever has its
 * containers made anew, and whoever runs it again.
 */
export type SecretsFrom = 'server' | 'service'

/**
 * What a release says of that. One of a mypaas that did not note it says what it got: `secrets`, a keyed hash of each
 * value, and `sharedSecrets`, the names of those of all services that these led to, see `note-rights.ts`.
 */
export type SecretRights = Pick<JournalRelease, 'secretsFrom' | 'sharedSecrets' | 'secrets'>

type Where = Pick<Host, 'secrets' | 'markKey'>

/**
 * The secrets that a release gets. One that does not say whose it may have gets its own ones, and of those of all services
 * what it had: by name, or the very same value. That gives nothing to one that a limited key deployed.
 */
export function secretsFor(host: Where, service: string, rights: SecretRights): Readonly<Record<string, string>> {
  if (rights.secretsFrom !== undefined) return host.secrets(service, rights.secretsFrom)
  const had = Object.entries(host.secrets(service, 'server')).filter(
    ([key, value]) =>
      rights.sharedSecrets?.includes(key) || rights.secrets?.[key] === markOf(host, service, key, value),
  )
  return { ...Object.fromEntries(had), ...host.secrets(service, 'service') }
}

/** What may have a release or a command that comes of another release, when whoever asks for it makes it. */
export function narrowed({ secretsFrom }: Pick<Host, 'secretsFrom'>, from: SecretRights): SecretRights {
  return secretsFrom === 'service' ? { secretsFrom } : from
}

/** The part of rights that a release of its own says; what values it got is noted anew. */
export function noted({ secretsFrom, sharedSecrets }: SecretRights): Omit<SecretRights, 'secrets'> {
  if (secretsFrom !== undefined) return { secretsFrom }
  return sharedSecrets === undefined ? {} : { sharedSecrets }
}

/** The variables of a release. @throws {MypaasError} `directives`, when it lacks some or may not have them */
export function environmentOf(host: Where, spec: ServiceSpec, rights: SecretRights): readonly string[] {
  const secrets = secretsFor(host, spec.service, rights)
  return sampleEnvironment(spec, secrets, { from: rights.secretsFrom ?? 'unknown' })
}
