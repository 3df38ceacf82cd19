/**
 * What a caller may branch on. The command line maps each code to one exit code (`cli/main.ts`).
 *
 * - `usage`: the call itself is wrong · `directives`: a Dockerfile's `# mypaas.` lines are
 * - `unauthorised`: no key that the server knows
 * - `locked`: somebody else is at it, or the world changed since the plan
 * - `failed`: not done; what ran before still runs · `rolled-back`: done in part, then taken back
 * - `degraded`: needs a person · `aborted`: stopped on request
 * - `engine`: the Docker Engine refused or broke off · `unreachable`: no engine or server answers there
 * - `context`: the files to build from can't be read as they are
 */
export type ErrorCode =
  | 'usage'
  | 'directives'
  | 'unauthorised'
  | 'locked'
  | 'failed'
  | 'rolled-back'
  | 'degraded'
  | 'aborted'
  | 'engine'
  | 'unreachable'
  | 'context'

/** Every error that mypaas throws on purpose. The message says what happened and to which object, `hint` what to do next. */
export class MypaasError extends Error {
  override readonly name: string = 'MypaasError'
  readonly code: ErrorCode
  readonly hint: string | undefined

  constructor(message: string, options: { code: ErrorCode; hint?: string | undefined; cause?: unknown }) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.code = options.code
    this.hint = options.hint
  }
}
