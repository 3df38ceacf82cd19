/** Which of a list of blobs are missing, one bit each, as text. */
export function formatMissing(count: number, isMissing: (index: number) => boolean): string {
  const bits = Buffer.alloc(Math.ceil(count / 8))
  for (let index = 0; index < count; index++) {
    if (isMissing(index)) bits[index >> 3] = (bits[index >> 3] as number) | (1 << (index & 7))
  }
  return bits.toString('base64')
}

/** The indexes of the blobs that are missing. */
export function parseMissing(text: string, count: number): number[] {
  const bits = Buffer.from(text, 'base64')
  const missing: number[] = []
  for (let index = 0; index < count; index++) if (((bits[index >> 3] ?? 0) >> (index & 7)) & 1) missing.push(index)
  return missing
}

export function lacksNothing(text: string): boolean {
  return /^A*=*$/.test(text)
}
