import { loadavg } from 'node:os'
import { parseArgs } from 'node:util'
import type { Row } from './row.ts'
import { runAlone } from './run.ts'
import { removeTrees } from './trees.ts'

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { json: { type: 'boolean' }, keep: { type: 'boolean' }, alone: { type: 'boolean' } },
})
const [group, ...words] = positionals

const groups: Readonly<Record<string, () => Promise<Readonly<Record<string, () => Promise<Row[]>>>>>> = {
  client: async () => (await import('./client.ts')).clientRows,
  deploy: async () => (await import('./deploy.ts')).deployRows,
  push: async () => (await import('./push.ts')).pushRows,
}
const measures = await groups[group ?? '']?.()
if (!measures) {
  console.error(`There is no bench ${group}: see ./scripts/bench --help`)
  process.exit(2)
}
if (values.alone) runAlone()
else if ((loadavg()[0] ?? 0) > 1) console.error(`The machine is busy (load ${loadavg()[0]?.toFixed(1)}): see --alone.`)
const rows: Row[] = []
try {
  for (const [name, measure] of Object.entries(measures)) {
    if (words.length > 0 && !words.some((word) => name.includes(word))) continue
    if (!values.json) console.error(`… ${name}`)
    rows.push(...(await measure()).filter(({ beside, value }) => Number.isFinite(value + (beside?.value ?? 0))))
  }
} finally {
  if (!values.keep) removeTrees()
}
if (values.json) console.log(JSON.stringify({ group, node: process.version, rows }))
else print(rows)
process.exit(rows.every((row) => row.holds !== false) ? 0 : 1)

function print(rows: readonly Row[]): void {
  const lines = [['what', 'mypaas', 'beside', 'ratio', 'target', ''], ...rows.map(cells)]
  const widths = (lines[0] as string[]).map((_, column) => Math.max(...lines.map((line) => line[column]?.length ?? 0)))
  for (const line of lines)
    console.log(
      line
        .map((cell, column) => cell.padEnd(widths[column] as number))
        .join('  ')
        .trimEnd(),
    )
}

function cells({ what, unit, value, beside, target, ratio, holds }: Row): string[] {
  const shown = (number: number): string => `${number < 10 ? number.toFixed(2) : Math.round(number)} ${unit}`
  return [
    what,
    shown(value),
    beside === undefined ? '' : `${beside.name} ${shown(beside.value)}`,
    ratio === undefined ? '' : ratio.toFixed(2),
    target ?? '',
    holds === undefined ? '' : holds ? 'ok' : 'MISSED',
  ]
}
