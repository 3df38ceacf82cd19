import type { BuildEvent } from '../docker/index.ts'
import type { ErrorCode } from '../errors.ts'
import type { Receipt, ReleaseAction } from './history.ts'
import type { Plan, Step } from './plan.ts'

/** What a deploy tells whoever watches, in order. Sent by callback: a watcher that leaves does not stop the deploy. */
export type DeployEvent = Readonly<
  | { type: 'deploy'; service: string; release: number; action: ReleaseAction }
  /** It waits until others have built; `before` of those who wait go first. */
  | { type: 'queued'; before: number }
  | { type: 'build'; event: BuildEvent }
  | { type: 'planned'; plan: Plan }
  | { type: 'step'; step: Step['kind']; title: string; state: 'started'; holds?: true }
  | { type: 'step'; step: Step['kind']; title: string; state: 'done'; ms: number; detail?: string; holds?: true }
  | { type: 'step'; step: Step['kind']; title: string; state: 'failed'; ms: number; holds?: true }
  | { type: 'taking-back'; service: string; release: number }
  | { type: 'certificate'; name: string; state: 'asked' }
  | { type: 'certificate'; name: string; state: 'issued'; issuer: string; ms: number }
  | { type: 'warning'; message: string; hint?: string }
  | { type: 'live'; service: string; release: number; urls: readonly string[]; ms: number }
  | {
      type: 'done'
      service: string
      release: number
      ms: number
      receipt: Receipt
      /** The release that it replaced. */
      before?: number
      /** The one that a rollback goes to which is told no other. */
      back?: number
    }
  | {
      /** The last event of a command that did not do what it was asked for. */
      type: 'failed'
      code: ErrorCode
      message: string
      hint?: string
      /** What serves now, in words. */
      now?: string
      report?: FailureReport
    }
>

/** Receives events; must not throw and is not waited for. */
export type Emit = (event: DeployEvent) => void

/** What is known about a container that did not become what it should be. */
export type FailureReport = Readonly<{
  /** Its name, or `the build`. */
  container: string
  exitCode?: number
  /** Named when a signal ended it: `SIGSEGV`. */
  signal?: string
  outOfMemory?: boolean
  restarts?: number
  /** Where its processes listen, as `address:port`. */
  listening?: readonly string[]
  health?: string
  /** Why its command could not be started, and what to do. */
  startTrouble?: string
  /** The end of its log, at most 30 lines. */
  lastLines: readonly string[]
}>
