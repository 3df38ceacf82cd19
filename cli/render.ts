import type { DeployEvent } from '../src/deploy/events.ts'
import type { LogLine } from '../src/deploy/kept-logs.ts'
import { describe, type Plan } from '../src/deploy/plan.ts'
import type { BuildEvent } from '../src/docker/index.ts'
import { MypaasError } from '../src/errors.ts'
import { visibleLine } from '../src/visible.ts'
import {
  bold,
  clearMovingLine,
  dim,
  green,
  print,
  printJson,
  printRaw,
  progress,
  red,
  Styled,
  styled,
  type Text,
  writeMovingLine,
  yellow,
} from './output.ts'

export { print, printJson, progress }

/** Shows deploy events as they come. */
export type Renderer = { event: (event: DeployEvent) => void; end: () => void }

/**
 * For machines each event as a line of JSON on stdout; for people lines on stderr, and the URLs on stdout at the end.
 * @param options.server what the command line called the server; this machine's own unless given
 */
export function renderer(options: { json: boolean; verbose: boolean; server?: string }): Renderer {
  if (options.json) return { event: (event) => printJson(event), end: () => {} }
  return process.stderr.isTTY ? terminal(options) : plain(options)
}

/** What happened, what is known about it, what serves now, what to do next. A stack only for what is a bug. */
export function renderError(error: unknown): void {
  if (!(error instanceof MypaasError)) {
    progress(red('This is a bug in mypaas, please report it:'))
    progress(error instanceof Error ? (error.stack ?? error.message) : String(error))
    return
  }
  progress(styled`${red('✗')} ${error.message}`)
  const known = error as MypaasError & { report?: { lastLines: readonly string[]; container: string }; now?: string }
  const lines = known.report?.lastLines ?? []
  if (known.report && lines.length > 0) {
    progress(dim(`  the end of the log of ${known.report.container}:`))
    for (const line of lines) progress(styled`${dim('  │')} ${Styled.output(line)}`)
  }
  if (known.now) progress(`  ${known.now}`)
  if (error.hint) for (const line of error.hint.split('\n')) progress(`  ${line}`)
}

/** A plan in lines: order and what it costs, then each step. */
export function planLines(plan: Plan): string[] {
  const steps = plan.steps.map((step, index) => `  ${index + 1}. ${describe(step)}`)
  return [`plan: ${planSummary(plan)}`, ...steps, ...(plan.notes ?? []).map((note) => `  ${note}`)]
}

function planSummary(plan: Plan): string {
  const { kind, ms, reason } = plan.interruption
  const cost =
    kind === 'none'
      ? 'no interruption'
      : kind === 'wait'
        ? `requests wait about ${seconds(ms)} and as long as it starts`
        : `down for about ${seconds(ms)} and as long as it starts`
  return `${plan.order === 'first' ? 'start' : plan.order}, ${cost} (${reason})`
}

/** One line per finished thing: for logs and pipes. */
function plain({ verbose, server }: { verbose: boolean; server?: string }): Renderer {
  const built = new Set<string>()
  const rollback = server === undefined ? 'mypaas server rollback' : `mypaas rollback ${server}`
  return { event: (event) => show(event, { line: progress, begin: () => {}, verbose, built, rollback }), end: () => {} }
}

/** The same on a terminal, with what is being done at the moment in the last line. */
function terminal({ verbose, server }: { verbose: boolean; server?: string }): Renderer {
  const built = new Set<string>()
  const rollback = server === undefined ? 'mypaas server rollback' : `mypaas rollback ${server}`
  const { line, begin, end } = statusLine()
  return { event: (event) => show(event, { line, begin, verbose, built, rollback }), end }
}

/** Lines of progress, and on a terminal a last one that moves. */
export type StatusLine = {
  line: (text: Text) => void
  begin: (text: string) => void
  end: () => void
  /** Whether there is one that moves. */
  moves: boolean
}

export function statusLine(): StatusLine {
  const moves = process.stderr.isTTY === true
  let busy = false
  const end = (): void => {
    if (busy) clearMovingLine()
    busy = false
  }
  const line = (text: Text): void => {
    end()
    progress(text)
  }
  const begin = (text: string): void => {
    if (!moves) return
    end()
    const width = (process.stderr.columns ?? 80) - 1
    const shown = visibleLine(text)
    writeMovingLine(dim(shown.length > width ? `${shown.slice(0, width - 1)}…` : shown))
    busy = true
  }
  return { line, begin, end, moves }
}

type Output = {
  line: (text: Text) => void
  begin: (text: string) => void
  verbose: boolean
  /** Build steps that have had their line: the builder reports some as done first and as cached then. */
  built: Set<string>
  /** The command that goes back to another release of a service. */
  rollback: string
}

function show(event: DeployEvent, out: Output): void {
  switch (event.type) {
    case 'deploy':
      out.line(bold(`${event.service} r${event.release}`))
      break
    case 'queued':
      out.line(`  ${dim('waits')}  for a place to build${event.before > 0 ? `: ${event.before} before` : ''}`)
      break
    case 'build':
      showBuild(event.event, out)
      break
    case 'planned':
      out.line(styled`  ${dim('plan')}   ${planSummary(event.plan)}`)
      if (out.verbose) for (const text of planLines(event.plan).slice(1)) out.line(dim(`       ${text}`))
      break
    case 'step':
      if (event.state === 'started') out.begin(`  …      ${event.title}`)
      else if (event.state === 'failed') out.line(styled`  ${red('✗')}      ${event.title} ${dim(seconds(event.ms))}`)
      else
        out.line(
          styled`  ${green('✓')}      ${event.title} ${dim(seconds(event.ms) + ('detail' in event ? `, ${event.detail}` : ''))}`,
        )
      break
    case 'taking-back':
      out.line(styled`${event.service} r${event.release} is taken back`)
      break
    case 'certificate':
      if (event.state === 'asked') out.begin(`  …      certificate for ${event.name}`)
      else
        out.line(
          styled`  ${green('✓')}      certificate for ${event.name} of ${event.issuer} ${dim(seconds(event.ms))}`,
        )
      break
    case 'warning':
      out.line(styled`  ${yellow('!')}      ${event.message}${event.hint ? ` ${event.hint}` : ''}`)
      break
    case 'live':
      out.line(styled`${green('live')} after ${seconds(event.ms)}${event.urls.length > 0 ? ':' : ''}`)
      for (const url of event.urls) print(url)
      break
    case 'done':
      out.line(dim(receiptLine(event, out.rollback)))
      break
    case 'failed':
      // The error itself is shown by whoever catches it.
      break
  }
}

function showBuild(event: BuildEvent, out: Output): void {
  switch (event.type) {
    case 'step':
      // What the builder does for itself has no number: [internal] load build definition.
      if (/^\[(?!internal)/.test(event.name) || out.verbose || event.status === 'failed') showBuildStep(event, out)
      break
    case 'log': {
      const lines = event.text.trimEnd().split('\n')
      if (out.verbose) for (const text of lines) out.line(dim(styled`         ${Styled.output(lastState(text))}`))
      else out.begin(`  build  ${Styled.output(lastState(lines.at(-1) ?? ''))}`)
      break
    }
    case 'progress':
      out.begin(
        `  build  ${event.name} ${event.total > 0 ? `${Math.floor((100 * event.current) / event.total)} %` : ''}`,
      )
      break
    case 'warning':
      out.line(styled`  ${yellow('!')}      ${event.text}`)
      break
    case 'image':
      break
  }
}

/** `done after 4.1 s: image 1.2 s, ready 0.6 s, live 2.3 s, requests waited 1.1 s at most, drained 0.2 s; r6 is kept` */
function receiptLine({ receipt, back, service }: Extract<DeployEvent, { type: 'done' }>, rollback: string): string {
  const { imageMs, readyMs, liveMs, heldMs, drainMs, totalMs } = receipt
  const parts = [`image ${seconds(imageMs)}`, `ready ${seconds(readyMs)}`, `live ${seconds(liveMs)}`]
  if (heldMs > 0) parts.push(`requests waited ${seconds(heldMs)} at most`)
  if (drainMs > 0) parts.push(`drained ${seconds(drainMs)}`)
  const kept = back === undefined ? '' : `; r${back} is kept: ${rollback} ${service}`
  return `done after ${seconds(totalMs)}: ${parts.join(', ')}${kept}`
}

function showBuildStep({ id, name, status }: Extract<BuildEvent, { type: 'step' }>, out: Output): void {
  if (status === 'started') {
    out.begin(`  build  ${name}`)
    return
  }
  if (out.built.has(id)) return
  out.built.add(id)
  if (status === 'failed') out.line(styled`  ${dim('build')}  ${red('✗')} ${name}`)
  else out.line(styled`  ${dim('build')}  ${name}${status === 'cached' ? dim(' cached') : ''}`)
}

/** What a progress bar had come to: what it overwrote on its way is of no use any more. */
function lastState(line: string): string {
  return line.replace(/\r+$/, '').split('\r').at(-1) as string
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`
}

/** What a service wrote: its stdout to ours, its stderr to ours; which replica says it in front. */
export function printLogLine(line: LogLine, options: { timestamps: boolean }): void {
  const prefix = styled`${dim(`r${line.release}-${line.replica} |`)} ${options.timestamps ? `${line.at} ` : ''}`
  printRaw(line.stream, prefix, line.text)
}

/** Rows as lines, columns aligned. */
export function table(cells: readonly (readonly string[])[]): string[] {
  const rows = cells.map((row) => row.map(visibleLine))
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)))
  return rows.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd(),
  )
}
