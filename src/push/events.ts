/** What a push tells before the server's deploy begins to tell. */
export type PushEvent = Readonly<
  | { type: 'hashing'; files: number; bytes: number }
  | { type: 'hashed'; files: number; bytes: number; read: number; ms: number }
  | { type: 'warning'; message: string; hint?: string }
  | { type: 'sending'; files: number; bytes: number }
  | { type: 'sent-part'; bytes: number; totalBytes: number; wireBytes: number; ms: number }
  | { type: 'line-broke'; message: string }
  | { type: 'sent'; bytes: number; wireBytes: number; ms: number }
  | { type: 'job'; service: string; job: string }
>

export type PushEmit = (event: PushEvent) => void
