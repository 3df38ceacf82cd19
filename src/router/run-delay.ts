import { readdir, readFile } from 'node:fs/promises'

/**
 * For how long the threads of a process, together, were ready to run and did not get to, in milliseconds since each began.
 * @returns `undefined` where that can't be seen: it is another machine's, or gone, or the kernel keeps no account
 */
export async function runDelay(pid: number): Promise<number | undefined> {
  try {
    const threads = await readdir(`/proc/${pid}/task`)
    const accounts = await Promise.all(
      threads.map((thread) => readFile(`/proc/${pid}/task/${thread}/schedstat`, 'utf8').catch(() => '')),
    )
    // Time on a processor, time of waiting for one, both in nanoseconds, and how often.
    return accounts.reduce((sum, account) => sum + Number(account.split(' ')[1] ?? 0), 0) / 1e6
  } catch {
    return undefined
  }
}

/**
 * Whether a process was slow because others had the processors, between two looks: one that hangs waits for none.
 * @param forMs how long it was between them
 */
export function wasStarved(before: number | undefined, after: number | undefined, forMs: number): boolean {
  return before !== undefined && after !== undefined && after - before > forMs / 5
}
