import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { MypaasError } from '../errors.ts'
import { parseDuration } from '../units.ts'

/**
 * Has the machine reboot later, by the system's own `shutdown`. Services are armed: they come back by themselves.
 * @param when `10m`, `2h`, or a time of day `03:00`.
 * @returns what `shutdown` said
 * @throws {MypaasError} `usage` for another `when` · `failed` when the machine refuses
 */
export async function scheduleReboot(when: string): Promise<string> {
  return shutdown(['-r', shutdownTime(when), 'mypaas server schedule-reboot'])
}

/** Takes a scheduled reboot back. */
export async function cancelReboot(): Promise<string> {
  return shutdown(['-c'])
}

/** `10m` → `+10`, `03:00` → `03:00`: as `shutdown` wants it. */
function shutdownTime(when: string): string {
  if (/^([01]\d|2[0-3]):[0-5]\d$/.test(when)) return when
  const ms = parseDuration(when)
  if (ms !== undefined && ms >= 60_000 && ms % 60_000 === 0) return `+${ms / 60_000}`
  throw new MypaasError(`${when} is no time for a reboot.`, {
    code: 'usage',
    hint: 'Give whole minutes or hours from now (10m, 2h) or a time of day (03:00).',
  })
}

async function shutdown(args: readonly string[]): Promise<string> {
  try {
    const { stdout, stderr } = await promisify(execFile)('shutdown', args, { timeout: 30_000 })
    return `${stdout}${stderr}`.trim()
  } catch (cause) {
    const { code, stderr } = cause as { code?: unknown; stderr?: string }
    throw new MypaasError(
      code === 'ENOENT' ? 'There is no program shutdown here.' : `shutdown failed: ${stderr?.trim() || 'no word why'}.`,
      {
        code: 'failed',
        hint:
          code !== 'ENOENT' && process.getuid?.() !== 0
            ? 'Run this as root.'
            : 'Reboot the machine by the means of its host.',
        cause,
      },
    )
  }
}
