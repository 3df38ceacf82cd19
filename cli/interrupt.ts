import { setMaxListeners } from 'node:events'
import { MypaasError } from '../src/errors.ts'
import { progress } from './render.ts'

/** Ctrl-C, the end that a service manager asks for, and a terminal that is closed. */
const endings = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

/**
 * Runs work that Ctrl-C (or SIGTERM, or the end of the terminal) asks to end. The work sees the signal and tidies up;
 * pressing again says that it is at it, for ending it there would leave the rest to the next command.
 * @param options.quiet Says nothing: for work that only shows something.
 * @param options.leaving For work that goes on elsewhere: what is said of it when pressing again ends this process at once.
 */
export async function interruptible<T>(
  work: (signal: AbortSignal) => Promise<T>,
  options: { quiet?: boolean; leaving?: string } = {},
): Promise<T> {
  const controller = new AbortController()
  // Every call to the engine that is under way listens to it; from eleven on Node would warn of a leak.
  setMaxListeners(0, controller.signal)
  const { quiet, leaving } = options
  const interrupt = (): void => {
    if (leaving !== undefined && controller.signal.aborted) leave(leaving)
    if (!quiet && leaving === undefined)
      progress(controller.signal.aborted ? '\nStill tidying up; what runs keeps running.' : '\nStopping; tidying up …')
    controller.abort()
  }
  for (const ending of endings) process.on(ending, interrupt)
  try {
    return await work(controller.signal)
  } catch (error) {
    // It ended while it waited or looked, with nothing to take back.
    if (controller.signal.aborted && isBreak(error))
      throw new MypaasError('Stopped on request.', { code: 'aborted', cause: error })
    throw error
  } finally {
    for (const ending of endings) process.off(ending, interrupt)
  }
}

function leave(what: string): never {
  progress(`\nStopped at once. ${what}`)
  process.exit(130)
}

/** The work ended because it was told to, or because its line to elsewhere went with that. */
function isBreak(error: unknown): boolean {
  return error instanceof MypaasError
    ? error.code === 'unreachable'
    : error instanceof Error && error.name === 'AbortError'
}
