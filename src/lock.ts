import { spawn } from 'node:child_process'
import { constants } from 'node:fs'
import { type FileHandle, mkdir, open } from 'node:fs/promises'
import { dirname } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { MypaasError } from './errors.ts'

/** A held lock; leaving its scope (`await using`) sets it free. */
export type Lock = AsyncDisposable

const pollMs = 100

/**
 * Takes the lock on `file`. The kernel holds it (`flock` on a descriptor of ours), so it is free at the moment its
 * holder dies, however it dies. The file stays: were it deleted, a second one of that name would be another lock.
 * @param options.what Who takes it and for what; shown to those who find it taken.
 * @param options.waitMs How long to wait for it; 0 (the default) not at all. Those of this process who wait get it in the
 *   order in which they came, and only the first of them asks for it again and again.
 * @param options.onWait Told once, when it has to wait, who holds it.
 * @throws {MypaasError} `locked` naming the holder · `degraded` when the file is there and is no lock: it is left as it is
 */
export async function takeLock(
  file: string,
  options: {
    what: string
    waitMs?: number
    signal?: AbortSignal | undefined
    onWait?: (holder: string) => void
  },
): Promise<Lock> {
  const deadline = performance.now() + (options.waitMs ?? 0)
  using line = options.waitMs ? joinLine(file) : undefined
  await mkdir(dirname(file), { recursive: true, mode: 0o700 })
  const handle = await openOurs(file)
  try {
    let told = false
    if (line?.before) {
      options.onWait?.((await holderOf(handle)) || file)
      told = true
      await doneBy(line.before, deadline, options.signal)
    }
    while (!(await tryLock(handle))) {
      if (performance.now() >= deadline) throw await taken(handle, file)
      if (!told) options.onWait?.((await holderOf(handle)) || file)
      told = true
      await sleep(pollMs, undefined, { signal: options.signal })
    }
    await handle.truncate(0)
    // For whoever finds it taken. The lock holds without it, on a full disk; half a line would be nobody's.
    await handle
      .write(`${options.what} (process ${process.pid}, since ${new Date().toISOString()})`)
      .catch(() => handle.truncate(0))
    return {
      async [Symbol.asyncDispose](): Promise<void> {
        // Only its closing opens the lock.
        await handle.truncate(0).catch(() => {})
        await handle.close()
      },
    }
  } catch (error) {
    await handle.close()
    throw error
  }
}

/** Of each file whoever of this process came last to wait for it. */
const lines = new Map<string, Promise<unknown>>()

/** @returns done when nobody who came before waits any more; leaving the scope lets the next one have their turn */
function joinLine(file: string): Disposable & { before: Promise<unknown> | undefined } {
  const before = lines.get(file)
  let leave = (): void => {}
  const mine = new Promise<void>((resolve) => {
    leave = resolve
  })
  const all = Promise.all([before, mine])
  lines.set(file, all)
  void all.then(() => {
    if (lines.get(file) === all) lines.delete(file)
  })
  return { before, [Symbol.dispose]: () => leave() }
}

/** Waits for something, but no longer than that. @throws when the signal fires */
async function doneBy(what: Promise<unknown>, deadline: number, signal: AbortSignal | undefined): Promise<void> {
  const enough = new AbortController()
  const late = sleep(Math.max(0, deadline - performance.now()), undefined, {
    signal: signal ? AbortSignal.any([signal, enough.signal]) : enough.signal,
  })
  try {
    await Promise.race([what, late])
  } finally {
    enough.abort()
    late.catch(() => {})
  }
}

/** A lock file is empty, or has the line of its last holder; after a power cut it may have zeros. All else is somebody's. */
const ours = /^(?:[^\n]{1,400} \(process \d+, since [\d:.TZ-]+\)|\0+)?$/
const maxBytes = 1000

async function openOurs(file: string): Promise<FileHandle> {
  const { O_RDWR, O_APPEND, O_CREAT, O_NOFOLLOW, O_NONBLOCK } = constants
  const handle = await open(file, O_RDWR | O_APPEND | O_CREAT | O_NOFOLLOW | O_NONBLOCK, 0o600).catch(
    (cause: NodeJS.ErrnoException) => {
      throw cause.code === 'ELOOP' || cause.code === 'EISDIR' || cause.code === 'ENXIO' ? noLock(file, cause) : cause
    },
  )
  try {
    const found = await handle.stat()
    const text = found.isFile() && found.size <= maxBytes ? await handle.readFile('utf8') : undefined
    if (text !== undefined && ours.test(text)) return handle
    throw noLock(file)
  } catch (error) {
    await handle.close()
    throw error
  }
}

function noLock(file: string, cause?: unknown): MypaasError {
  return new MypaasError(`${file} is there already and is no lock of mypaas.`, {
    code: 'degraded',
    hint: `It stays as it is. Move it away, then run this again: mv ${file} ${file}.old`,
    cause,
  })
}

const takenCode = 75

/** Node has no flock(2). The one of util-linux locks the open file that we share with it, and so for us. */
function tryLock(handle: FileHandle): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const child = spawn('flock', ['--exclusive', '--nonblock', '--conflict-exit-code', String(takenCode), '3'], {
      stdio: ['ignore', 'ignore', 'ignore', handle.fd],
      // Of a group of its own: a terminal's Ctrl-C is for us.
      detached: true,
    })
    child.on('error', (cause) => {
      reject(
        new MypaasError('There is no flock here, which mypaas locks services with.', {
          code: 'failed',
          hint: 'It is part of util-linux: apt-get install util-linux',
          cause,
        }),
      )
    })
    child.on('exit', (code, signal) => {
      if (code === 0) resolve(true)
      else if (code === takenCode) resolve(false)
      else reject(new MypaasError(`flock ended with ${signal ?? `code ${code}`}.`, { code: 'failed' }))
    })
  })
}

async function taken(handle: FileHandle, file: string): Promise<MypaasError> {
  const holder = await holderOf(handle)
  return new MypaasError(holder ? `Somebody else is at it: ${holder}.` : `Somebody else holds ${file}.`, {
    code: 'locked',
    hint: 'Wait until that is done, or let this command wait: --wait 1m',
  })
}

/** What the holder wrote about itself. One that has just got the lock is about to. */
async function holderOf(handle: FileHandle): Promise<string> {
  for (let attempt = 0; ; attempt += 1) {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(200), 0, 200, 0)
    const holder = buffer.subarray(0, bytesRead).toString().trim()
    if (holder !== '' || attempt === 10) return holder
    await sleep(20)
  }
}
