/**
 * Durations, byte sizes and shares of a CPU, parsed once at the border. Each parser gives `undefined` for text that is
 * not in its grammar, so that the caller can say where the text stood.
 */

const durationMs = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 } as const

/** `500ms`, `10s`, `1.5m`, `2h` → milliseconds (a whole number, at least 1). A bare number has no unit and is refused. */
export function parseDuration(text: string): number | undefined {
  const match = /^(\d{1,15}(?:\.\d{1,3})?)(ms|s|m|h)$/.exec(text)
  if (!match) return undefined
  const ms = Math.round(Number(match[1]) * durationMs[match[2] as keyof typeof durationMs])
  return ms >= 1 && Number.isSafeInteger(ms) ? ms : undefined
}

/** Milliseconds → the shortest exact form: 90000 → `90s`, 1500 → `1500ms`, 120000 → `2m`. */
export function formatDuration(ms: number): string {
  if (ms >= 3_600_000 && ms % 3_600_000 === 0) return `${ms / 3_600_000}h`
  if (ms >= 60_000 && ms % 60_000 === 0) return `${ms / 60_000}m`
  if (ms >= 1000 && ms % 1000 === 0) return `${ms / 1000}s`
  return `${ms}ms`
}

const byteUnits = { b: 1, k: 1024, m: 1024 ** 2, g: 1024 ** 3, t: 1024 ** 4 } as const

/**
 * Docker's byte sizes: `500m`, `1.5g`, `64k`, `1024`, `2GB`, `2GiB`, case ignored → bytes (a whole number, at least 1).
 * All units are powers of 1024, as in `docker run --memory`. There is no part of a byte: `1.5` is refused.
 */
export function parseBytes(text: string): number | undefined {
  const match = /^(\d{1,15}(?:\.\d{1,6})?)(?:([kmgt])i?b?|b)?$/i.exec(text)
  if (!match || (match[2] === undefined && text.includes('.'))) return undefined
  const bytes = Math.round(Number(match[1]) * byteUnits[(match[2] ?? 'b').toLowerCase() as keyof typeof byteUnits])
  return bytes >= 1 && Number.isSafeInteger(bytes) ? bytes : undefined
}

/** Bytes for people, one decimal below 10: 1536 → `1.5 KiB`, 524288000 → `500 MiB`. */
export function formatBytes(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB']
  let value = bytes
  let unit = 0
  // What would be rounded up to 1024 is 1.0 of the next unit
  while (Math.round(value) >= 1024 && unit < units.length - 1) {
    value /= 1024
    unit += 1
  }
  return `${unit > 0 && value < 9.95 ? value.toFixed(1) : Math.round(value)} ${units[unit]}`
}

/** `1`, `0.5`, `1.25` → CPUs (more than 0, at most 1024, steps of 0.001). The Engine's `NanoCpus` is this times 1e9. */
export function parseCpus(text: string): number | undefined {
  if (!/^\d{1,4}(?:\.\d{1,3})?$/.test(text)) return undefined
  const cpus = Number(text)
  return cpus > 0 && cpus <= 1024 ? cpus : undefined
}
