import assert from 'node:assert/strict'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { assertSettled } from './settled.ts'
import type { CliResult, World } from './world.ts'

/** `roll`: two replicas, start-first. `one`: a single writer, stop-first. */
export type Kind = 'roll' | 'one'
export const kinds: readonly Kind[] = ['roll', 'one']

/** Writes the directory of such a service. @returns its path */
export function serviceOf(w: World, kind: Kind): Promise<string> {
  return kind === 'roll'
    ? w.service('roll', { directives: ['url=http://roll.test', 'scale=2'] })
    : w.service('one', { directives: ['url=http://one.test', 'volume=~/data:/data'], app: { VOLUME: '/data' } })
}

/** The current release of a service; 0 for none. */
export async function current(w: World, kind: Kind): Promise<number> {
  return (await w.journal(kind))?.current?.release ?? 0
}

/** What a deploy does when nobody disturbs it. */
export async function cleanDeploy(w: World, directory: string): Promise<{ ms: number; steps: number }> {
  const { stdout, ms } = await w.deploy(directory, '--json')
  return { ms, steps: stdout.split('\n').filter((line) => /^\{"type":"step".*"state":"started"/.test(line)).length }
}

/** When a command is killed: at the beginning of a step, between a file and its place, or after a time. */
export type KillAt = Readonly<{ step: number } | { file: number } | { ms: number }>

/** Runs a command that prints events, and kills it then. @returns how it ended; by itself when it was done before that */
export async function killed(w: World, words: readonly string[], at: KillAt): Promise<CliResult> {
  const env: Record<string, string> = 'ms' in at ? {} : { NODE_OPTIONS: `--import=${killAtModule}` }
  if ('step' in at) env['KILL_AT_STEP'] = `${at.step}`
  if ('file' in at) env['KILL_AT_FILE'] = `${at.file}`
  const running = w.spawnCli([...words, '--json'], { env })
  if ('ms' in at) {
    await sleep(at.ms)
    running.kill('SIGKILL')
  }
  return await running.result
}

/** To be preloaded: see the file. */
export const killAtModule: string = pathToFileURL(join(dirname(fileURLToPath(import.meta.url)), 'kill-at.mjs')).href

/**
 * Asserts that one reconcile makes a service whole, at its release of before or at its last one, and that a second one
 * finds nothing to do.
 * @param how What happened, for the error.
 * @param options.reconciled Told how the first reconcile went.
 */
export async function assertMended(
  w: World,
  kind: Kind,
  before: number,
  how: string,
  options: { reconciled?: (result: CliResult) => void } = {},
): Promise<void> {
  try {
    const last = (await w.journal(kind))?.lastRelease ?? before
    const result = await w.ok(['server', 'reconcile', kind])
    options.reconciled?.(result)
    const { release } = await assertSettled(w, kind, [before, last])
    const { stdout } = await w.ok(['server', 'reconcile', kind])
    assert.equal(stdout, `${kind} r${release} is as it should be\n`)
  } catch (error) {
    throw new Error(`${kind}, ${how}: ${(error as Error).message}`, { cause: error })
  }
}
