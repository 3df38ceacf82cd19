import net from 'node:net'
import type { TestContext } from 'node:test'

/** A line that breaks: it joins connections on `path` to `target`, counts what goes to the target, and cuts. */
export type CuttingProxy = Readonly<{
  path: string
  /** Bytes that were handed to the target. */
  readonly sentBytes: number
  readonly cuts: number
  /** Cuts everything that is open, now. */
  cut(): void
}>

/**
 * @param cutAt counts of bytes to the target, over all connections, at which everything that is open is cut, in order
 * @param down connections that are refused after each cut
 */
export async function cuttingProxy(
  t: TestContext,
  options: { path: string; target: string; cutAt: readonly number[]; down?: number },
): Promise<CuttingProxy> {
  const open = new Set<net.Socket>()
  const waiting = [...options.cutAt].sort((a, b) => a - b)
  const state = { sentBytes: 0, cuts: 0, refuse: 0 }
  const server = net.createServer((client) => {
    client.on('error', () => {})
    if (state.refuse > 0) {
      state.refuse -= 1
      client.destroy()
      return
    }
    const target = net.connect(options.target)
    target.on('error', () => {})
    for (const socket of [client, target]) {
      open.add(socket)
      socket.on('close', () => open.delete(socket))
    }
    target.pipe(client)
    client.on('close', () => target.destroy())
    client.on('data', (data) => {
      const next = waiting[0]
      if (next !== undefined && state.sentBytes + data.length >= next) {
        waiting.shift()
        const part = data.subarray(0, Math.max(0, next - state.sentBytes))
        state.sentBytes += part.length
        state.cuts += 1
        state.refuse = options.down ?? 0
        // What was on its way arrives, then the line is gone for both.
        target.end(part)
        for (const socket of open) if (socket !== target) socket.destroy()
        return
      }
      state.sentBytes += data.length
      if (!target.write(data)) {
        client.pause()
        target.once('drain', () => client.resume())
      }
    })
  })
  await new Promise<void>((resolve) => server.listen(options.path, resolve))
  t.after(() => {
    for (const socket of open) socket.destroy()
    server.close()
  })
  return {
    path: options.path,
    get sentBytes() {
      return state.sentBytes
    },
    get cuts() {
      return state.cuts
    },
    cut() {
      state.cuts += 1
      for (const socket of open) socket.destroy()
    },
  }
}
