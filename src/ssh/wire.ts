/** What is no text, key or signature of SSH. It never says what was in it. */
export class MalformedError extends Error {
  override readonly name: string = 'MalformedError'
}

/**
 * Reads the binary form of SSH (RFC 4251 §5), strictly: nothing may be missing, nothing left over.
 * @throws {MalformedError} from every method
 */
export class Reader {
  readonly #bytes: Buffer
  #at = 0

  constructor(bytes: Buffer) {
    this.#bytes = bytes
  }

  get left(): number {
    return this.#bytes.length - this.#at
  }

  bytes(count: number): Buffer {
    if (count > this.left) throw new MalformedError('it is cut off')
    this.#at += count
    return this.#bytes.subarray(this.#at - count, this.#at)
  }

  byte(): number {
    return this.bytes(1).readUInt8()
  }

  uint32(): number {
    return this.bytes(4).readUInt32BE()
  }

  string(): Buffer {
    return this.bytes(this.uint32())
  }

  /** A string that is this one. */
  expect(text: string, what: string): void {
    if (!this.string().equals(Buffer.from(text, 'latin1'))) throw new MalformedError(`it is of another ${what}`)
  }

  /** A number above zero in its one form: no sign, no needless zero before it. @returns its bytes, big end first */
  positive(): Buffer {
    const bytes = this.string()
    const [first = 0, second = 0] = bytes
    if (bytes.length === 0 || first >= 0x80) throw new MalformedError('a number is not above zero')
    if (first !== 0) return bytes
    if (second < 0x80) throw new MalformedError('a number is written with zeros before it')
    return bytes.subarray(1)
  }

  end(): void {
    if (this.left > 0) throw new MalformedError('something comes behind it')
  }
}

export function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value)
  return bytes
}

export function string(content: string | Buffer): Buffer {
  const bytes = typeof content === 'string' ? Buffer.from(content, 'latin1') : content
  return Buffer.concat([uint32(bytes.length), bytes])
}

/** A number above zero or zero, from its bytes. */
export function positive(bytes: Buffer): Buffer {
  let start = 0
  while (start < bytes.length && bytes[start] === 0) start += 1
  const plain = bytes.subarray(start)
  return string((plain[0] ?? 0) >= 0x80 ? Buffer.concat([Buffer.alloc(1), plain]) : plain)
}

/** Bytes from base64 in its one form. @throws {MalformedError} */
export function fromBase64(text: string): Buffer {
  const bytes = Buffer.from(text, 'base64')
  if (bytes.toString('base64') !== text) throw new MalformedError('it is no base64')
  return bytes
}

/** As `length` bytes, zeros before it. @throws {MalformedError} when it is larger */
export function padded(bytes: Buffer, length: number): Buffer {
  if (bytes.length > length) throw new MalformedError('a number is too large')
  return bytes.length === length ? bytes : Buffer.concat([Buffer.alloc(length - bytes.length), bytes])
}
