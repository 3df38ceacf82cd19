import { routerHeader } from '../../../src/router/config.ts'

/** What the router of these tests shows the daemon, so that it is believed. */
export const routerWord = 'the word of the router'

/** What the router adds to a request of somebody at that address. */
export function asRouter(from: string): Readonly<Record<string, string>> {
  return { [routerHeader]: routerWord, 'X-Forwarded-For': from }
}
