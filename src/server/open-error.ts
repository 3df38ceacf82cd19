import { MypaasError } from '../errors.ts'

/** What anybody may be told, also who has signed nothing: it says nothing of this server. */
export class OpenError extends MypaasError {
  /** Of the answer. */
  readonly status: number

  constructor(message: string, options: { hint?: string; status?: number } = {}) {
    super(message, { code: 'usage', hint: options.hint })
    this.status = options.status ?? 400
  }
}

/** @throws {OpenError} */
export function nothingHere(): never {
  throw new OpenError('There is nothing here.', { status: 404 })
}

/** What a parser of the protocol says to what is none of it. @throws {OpenError} in place of a `MypaasError` */
export function openly<T>(parse: () => T): T {
  try {
    return parse()
  } catch (error) {
    if (!(error instanceof MypaasError)) throw error
    throw new OpenError(error.message, error.hint === undefined ? {} : { hint: error.hint })
  }
}
