import { setMaxListeners } from 'node:events'
import { MypaasError } from '../src/errors.ts'
import { progress } from './render.ts'

/**
 * Runs work that Ctrl-C (or SIGTERM) asks to end. The work sees the signal and tidies up; pressing again says that it is
 * at it, for ending it there would leave the rest to the next command.
 * @param options.quiet Says nothing: for work that only shows something.
 */
export async function interruptible<T>(
  work: (signal: AbortSignal) => Promise<T>,
  options: { quiet?: boolean } = {},
): Promise<T> {
  const controller = new AbortController()
  // Every call to the engine that is under way listens to it; from eleven on Node would warn of a leak.
  setMaxListeners(0, controller.signal)
  const interrupt = (): void => {
    if (!options.quiet)
      progress(controller.signal.aborted ? '\nStill tidying up; what runs keeps running.' : '\nStopping; tidying up …')
    controller.abort()
  }
  process.on('SIGINT', interrupt)
  process.on('SIGTERM', interrupt)
  try {
    return await work(controller.signal)
  } catch (error) {
    // It ended while it waited or looked, with nothing to take back.
    if (controller.signal.aborted && error instanceof Error && error.name === 'AbortError')
      throw new MypaasError('Stopped on request.', { code: 'aborted', cause: error })
    throw error
  } finally {
    process.off('SIGINT', interrupt)
    process.off('SIGTERM', interrupt)
  }
}
