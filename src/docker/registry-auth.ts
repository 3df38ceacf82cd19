import type { Some } from './types/partial.ts'

/** Credentials of one registry. */
export type AuthConfig = Some<{
  username: string
  password: string
  /** Instead of name and password. */
  identitytoken: string
  registrytoken: string
  serveraddress: string
  email: string
}>

/** As the engine's `X-Registry-…` headers want it. */
export function encodeAuth(auth: AuthConfig | Readonly<Record<string, AuthConfig>>): string {
  return Buffer.from(JSON.stringify(auth)).toString('base64url')
}
