import { setTimeout as sleep } from 'node:timers/promises'

/**
 * Asks again and again until `check` gives a truthy value; gives that value. A `check` that throws counts as "not yet".
 *
 * @param options.what Completes the sentence of the error: `Waited 5000 ms for …`.
 * @param options.timeoutMs Default 10,000 ms. `everyMs`: default 50.
 * @throws when the time is up, with the last value or the last error of `check`
 */
export async function until<T>(
  check: () => T | Promise<T>,
  options: { what: string; timeoutMs?: number; everyMs?: number },
): Promise<Exclude<Awaited<T>, false | '' | 0 | null | undefined>> {
  const timeoutMs = options.timeoutMs ?? 10_000
  const deadline = performance.now() + timeoutMs
  for (;;) {
    let last: { value?: unknown; error?: unknown }
    try {
      const value = await check()
      if (value) return value as Exclude<Awaited<T>, false | '' | 0 | null | undefined>
      last = { value }
    } catch (error) {
      last = { error }
    }
    if (performance.now() >= deadline) {
      const seen = 'error' in last ? `last error: ${last.error}` : `last value: ${JSON.stringify(last.value)}`
      throw new Error(`Waited ${timeoutMs} ms for ${options.what} (${seen})`, { cause: last.error })
    }
    await sleep(options.everyMs ?? 50)
  }
}
