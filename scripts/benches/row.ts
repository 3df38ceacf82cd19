/** One measurement of ours, beside one of somebody else's; medians. */
export type Row = Readonly<{
  what: string
  unit: string
  value: number
  beside: { name: string; value: number } | undefined
  /** Ours by theirs. */
  ratio: number | undefined
  target: string | undefined
  /** Absent where there is no target. */
  holds: boolean | undefined
}>

/** @param target `ratio`: ours by theirs at most; `atMost`, `atLeast`: ours */
export function row(
  what: string,
  unit: string,
  value: number,
  beside?: { name: string; value: number },
  target: { ratio?: number; atMost?: number; atLeast?: number } = {},
): Row {
  const ratio = beside && value / beside.value
  if (target.ratio !== undefined && ratio !== undefined) {
    return { what, unit, value, beside, ratio, target: `≤ ${target.ratio} ×`, holds: ratio <= target.ratio }
  }
  if (target.atMost !== undefined) {
    return { what, unit, value, beside, ratio, target: `≤ ${target.atMost} ${unit}`, holds: value <= target.atMost }
  }
  if (target.atLeast !== undefined) {
    return { what, unit, value, beside, ratio, target: `≥ ${target.atLeast} ${unit}`, holds: value >= target.atLeast }
  }
  return { what, unit, value, beside, ratio, target: undefined, holds: undefined }
}

/**
 * Measures the contestants in turns, so that a busy moment hits all of them; gives each one's median.
 * @param contestants with how many rounds each takes part in
 */
export async function compare<K extends string>(
  contestants: Readonly<Record<K, { rounds: number; measure: () => Promise<number> }>>,
): Promise<Record<K, number>> {
  const entries = Object.entries(contestants) as [K, { rounds: number; measure: () => Promise<number> }][]
  const results = new Map<K, number[]>(entries.map(([name]) => [name, []]))
  for (let round = 0; round < Math.max(...entries.map(([, { rounds }]) => rounds)); round++) {
    for (const [name, { rounds, measure }] of entries) if (round < rounds) results.get(name)?.push(await measure())
  }
  return Object.fromEntries([...results].map(([name, values]) => [name, median(values)])) as Record<K, number>
}

/** Of nothing: not a number. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN
}
