import { type ErrorCode, MypaasError } from '../errors.ts'
import { remoteHint } from './remote-hint.ts'

/** An error as a server tells it, so that it reads here as it would there. */
export type ErrorReport = Readonly<{
  code: ErrorCode
  message: string
  hint?: string
  /** What serves now, in words. */
  now?: string
  /** What is known of a container that failed. */
  report?: Readonly<{ container: string; lastLines: readonly string[] }>
}>

/** The server did it and it failed, or it refused. */
export class RemoteError extends MypaasError {
  override readonly name: string = 'RemoteError'
  readonly now: string | undefined
  readonly report: ErrorReport['report'] | undefined

  constructor(from: ErrorReport) {
    super(from.message, { code: from.code, hint: from.hint })
    this.now = from.now
    this.report = from.report
  }

  /** With commands in its hint that go from here. @param called What the user calls the server. */
  seenFromHere(called: string): RemoteError {
    const hint = this.hint === undefined ? {} : { hint: remoteHint(this.hint, called) }
    const now = this.now === undefined ? {} : { now: this.now }
    const report = this.report === undefined ? {} : { report: this.report }
    return new RemoteError({ code: this.code, message: this.message, ...hint, ...now, ...report })
  }
}

const codes: readonly ErrorCode[] = [
  'usage',
  'directives',
  'unauthorised',
  'locked',
  'failed',
  'rolled-back',
  'degraded',
  'aborted',
  'engine',
  'unreachable',
  'context',
]

/** What a server sent as an error, whatever it was. */
export function parseErrorReport(value: unknown): ErrorReport {
  const found = (typeof value === 'object' && value !== null ? value : {}) as Record<string, unknown>
  const text = (key: string): string | undefined =>
    typeof found[key] === 'string' ? (found[key] as string) : undefined
  const report = found['report'] as { container?: unknown; lastLines?: unknown } | undefined
  const hint = text('hint')
  const now = text('now')
  return {
    code: codes.find((code) => code === found['code']) ?? 'failed',
    message: text('message') ?? 'The server failed without saying why.',
    ...(hint === undefined ? {} : { hint }),
    ...(now === undefined ? {} : { now }),
    ...(report && Array.isArray(report.lastLines)
      ? { report: { container: String(report.container), lastLines: report.lastLines.map(String) } }
      : {}),
  }
}

/** An error for the wire. Only errors that are meant for users say what happened. */
export function reportError(error: unknown): ErrorReport {
  if (!(error instanceof MypaasError)) {
    return { code: 'failed', message: 'This is a bug in mypaas on the server; its log has the details.' }
  }
  const { now, report } = error as MypaasError & { now?: string; report?: NonNullable<ErrorReport['report']> }
  return {
    code: error.code,
    message: error.message,
    ...(error.hint === undefined ? {} : { hint: error.hint }),
    ...(now === undefined ? {} : { now }),
    ...(report === undefined ? {} : { report }),
  }
}
