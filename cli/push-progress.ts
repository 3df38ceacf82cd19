import type { PushEvent } from '../src/push/events.ts'
import { formatBytes } from '../src/units.ts'
import { printJson, type StatusLine } from './render.ts'

/** Shows how a push gets on: a moving line on a terminal, a line now and then elsewhere, JSON for machines. */
export function pushProgress(status: StatusLine, options: { json: boolean }): (event: PushEvent) => void {
  if (options.json) return printJson
  let shownMs = 0
  let moved = false
  return (event) => {
    switch (event.type) {
      case 'hashing':
        status.begin(`looking at files: ${event.files} read, ${formatBytes(event.bytes)}`)
        break
      case 'hashed':
        status.line(
          `${event.files} files, ${formatBytes(event.bytes)}, ${event.read} of them read anew (${seconds(event.ms)})`,
        )
        break
      case 'warning':
        status.line(`! ${event.message}${event.hint ? ` ${event.hint}` : ''}`)
        break
      case 'sent-part': {
        moved = true
        const { bytes, totalBytes, ms } = event
        const rate = bytes / Math.max(ms, 1)
        const text = `sending ${formatBytes(bytes)} of ${formatBytes(totalBytes)}, ${formatBytes(rate * 1000)}/s, ${seconds((totalBytes - bytes) / Math.max(rate, 0.001))} left`
        if (status.moves) status.begin(text)
        else if (ms - shownMs > plainEveryMs) {
          shownMs = ms
          status.line(text)
        }
        break
      }
      case 'line-broke':
        status.line(`! ${event.message} It goes on from there.`)
        break
      case 'sent':
        if (event.bytes > 0 || moved) {
          status.line(
            `sent ${formatBytes(event.bytes)}, ${formatBytes(event.wireBytes)} on the wire (${seconds(event.ms)})`,
          )
        } else status.line('nothing to send: the server has it all')
        break
      case 'sending':
      case 'job':
        break
      default:
        return event satisfies never
    }
  }
}

const plainEveryMs = 5_000

function seconds(ms: number): string {
  return ms < 99_500 ? `${(ms / 1000).toFixed(1)} s` : `${Math.round(ms / 60_000)} min`
}
