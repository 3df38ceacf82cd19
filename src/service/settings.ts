import { formatBytes, formatDuration, parseBytes, parseCpus, parseDuration } from '../units.ts'
import { unpair } from './directives.ts'
import { quote, type Report } from './problems.ts'
import type { EnvVariable, HealthCheck, Rollout } from './spec.ts'

/** How many replicas a service may have. */
const maxScale = 100

/** What the names of variables are: those of a shell, and such as `spring.datasource.password`. */
export const variableName: RegExp = /^[A-Za-z_][A-Za-z0-9_.-]*$/

/**
 * `KEY=value`, or `KEY` for a value that only the server knows. A value in a pair of quotes is what is between them.
 * @param quoted Whether the whole text was in quotes already: then those in the value belong to it.
 */
export function parseEnv(text: string, report: Report, quoted = false): EnvVariable | undefined {
  const at = text.indexOf('=')
  const key = at < 0 ? text : text.slice(0, at)
  if (!variableName.test(key)) {
    const trimmed = key.trim()
    report(
      `${quote(key)} can't be the name of a variable`,
      variableName.test(trimmed)
        ? `Write it without blanks around the =: mypaas.env = ${trimmed}=VALUE`
        : 'Write KEY=VALUE, or KEY alone for a value from the config of the server; a key has letters, digits and _',
    )
    return undefined
  }
  if (key.startsWith('MYPAAS_')) {
    report(`${key} can't be set: the names that begin with MYPAAS_ are for what mypaas tells the container`)
    return undefined
  }
  if (at < 0) return { key }
  const value = text.slice(at + 1)
  const bare = quoted ? value : unpair(value, report)
  return bare === undefined ? undefined : { key, value: bare }
}

export function parsePort(text: string, report: Report): number | undefined {
  const port = /^[1-9]\d{0,4}$/.test(text) ? Number(text) : 0
  if (port >= 1 && port <= 65535) return port
  const first = /^([1-9]\d{0,4})\D/.exec(text)?.[1]
  report(
    `${quote(text)} is no port: it is a whole number from 1 to 65535`,
    `For example: mypaas.port = ${first === undefined || Number(first) > 65535 ? 8080 : first}`,
  )
  return undefined
}

/** `3`, `3 safe`, `3 roll`, the word on either side; 0 for non-scaling. */
export function parseScale(text: string, report: Report): Readonly<{ scale: number; rollout: Rollout }> | undefined {
  const numbers: string[] = []
  const rollouts = new Set<'safe' | 'roll'>()
  const others: string[] = []
  for (const word of text.split(/[ \t]+/)) {
    if (word === 'safe' || word === 'roll') rollouts.add(word)
    else if (/^\d+$/.test(word)) numbers.push(word)
    else others.push(word)
  }
  const [rollout] = rollouts
  if (others.length > 0) {
    const apart = /^(\d{1,3})(safe|roll)$/.exec(text)
    report(
      `${quote(others.join(' '))} is neither a number of containers nor safe or roll`,
      apart ? `Write ${apart[1]} ${apart[2]}` : scaleForms,
    )
  } else if (rollouts.size > 1) {
    report('safe and roll exclude each other', scaleForms)
  } else if (numbers.length > 1) {
    report(`there are ${numbers.length} numbers, and one says how many containers run`, scaleForms)
  } else if (numbers.length === 0) {
    report('the number of containers is missing', `Write 1 ${rollout} for one container, 2 ${rollout} for two`)
  } else if (Number(numbers[0]) > maxScale) {
    report(`${numbers[0]?.slice(0, 20)} containers are too many: at most ${maxScale}`)
  } else if (Number(numbers[0]) === 0 && rollout === 'roll') {
    report('with 0, the old container is stopped before the new one starts, so nothing can roll', 'Write 1 roll, or 0')
  } else {
    const scale = Number(numbers[0])
    return { scale, rollout: scale === 0 ? 'stop-first' : (rollout ?? 'roll') }
  }
  return undefined
}

const scaleForms = 'Write for example 2, 2 safe or 2 roll; 0 for one that does not scale'

/** `/path interval timeout`. */
export function parseHealthcheck(text: string, report: Report): HealthCheck | undefined {
  const [path = '', interval, timeout, ...more] = text.split(/[ \t]+/)
  if (interval === undefined || timeout === undefined || more.length > 0) {
    report(`${quote(text)} is not a path, an interval and a timeout`, healthcheckForm)
    return undefined
  }
  const checkedPath = parseCheckPath(path, report)
  const intervalMs = parseTime(interval, 'interval', report)
  const timeoutMs = parseTime(timeout, 'timeout', report)
  if (checkedPath === undefined || intervalMs === undefined || timeoutMs === undefined) return undefined
  if (timeoutMs > intervalMs) {
    report(
      `the timeout (${formatDuration(timeoutMs)}) is longer than the interval (${formatDuration(intervalMs)})`,
      `The interval stands first: ${checkedPath} ${timeout} ${interval}`,
    )
    return undefined
  }
  return { path: checkedPath, intervalMs, timeoutMs }
}

const healthcheckForm = 'For example: mypaas.healthcheck = /status 10s 2s'

/** A path, with a query if need be, that can not lead to another host and is plain in every file and header. */
function parseCheckPath(path: string, report: Report): string | undefined {
  const [location = ''] = path.split('?', 1)
  if (!path.startsWith('/')) report(`the path ${quote(path)} does not begin with /`, healthcheckForm)
  else if (path.length > 255) report(`the path ${quote(path)} is longer than 255 characters`)
  else if (location.includes('//')) report(`the path ${quote(path)} has two slashes in a row`, 'Write it with one')
  else if (location.split('/').some((part) => part === '.' || part === '..')) {
    report(`the path ${quote(path)} has a part "." or ".."`, 'Write it without')
  } else if (!/^(?:[A-Za-z0-9._~!$&()*+,;=:@/?-]|%[0-9A-Fa-f]{2})+$/.test(path)) {
    report(`the path ${quote(path)} has characters that a URL can't have`, 'Encode them, for example a blank as %20')
  } else return path
  return undefined
}

function parseTime(text: string, what: string, report: Report): number | undefined {
  const ms = parseDuration(text)
  if (ms === undefined) {
    const number = /^\d{1,4}$/.test(text) ? `${text}s` : '10s'
    report(`the ${what} ${quote(text)} is no duration`, `A number and its unit, ms, s, m or h: ${number}`)
  } else if (ms < 10 || ms > 86_400_000) {
    report(`the ${what} ${quote(text)} is out of bounds`, 'It has to be between 10ms and 24h')
  } else return ms
  return undefined
}

/** The most that a start_timeout can be. */
export const longestStartMs: number = 3_600_000

/** `2m`: from 1 s to an hour. */
export function parseStartTimeout(text: string, report: Report): number | undefined {
  const ms = parseDuration(text)
  if (ms === undefined) {
    const number = /^\d{1,4}$/.test(text) ? `${text}s` : '2m'
    report(
      `${quote(text)} is no duration`,
      `A number and its unit, s, m or h, for example: mypaas.start_timeout = ${number}`,
    )
  } else if (ms < 1_000 || ms > longestStartMs) {
    report(`${quote(text)} is out of bounds`, 'It has to be between 1s and 1h')
  } else return ms
  return undefined
}

const maxGraceMs = 3_600_000

/** Between asking a container to stop and killing it. */
export function parseGrace(text: string, report: Report): number | undefined {
  const ms = parseDuration(text)
  if (ms === undefined) {
    report(`${quote(text)} is no duration`, `For example: mypaas.grace = ${/^[1-9]\d{0,2}$/.test(text) ? text : 30}s`)
  } else if (ms < 1000 || ms > maxGraceMs) {
    report(`the grace ${quote(text)} is out of bounds`, 'It has to be between 1s and 1h')
  } else if (ms % 1000 !== 0) {
    report(
      `${quote(text)}: the engine counts whole seconds`,
      `For example: mypaas.grace = ${formatDuration(Math.ceil(ms / 1000) * 1000)}`,
    )
  } else return ms
  return undefined
}

export function parseMaxCpu(text: string, report: Report): number | undefined {
  const cpus = parseCpus(text)
  if (cpus !== undefined && cpus >= 0.01) return cpus
  const percent = /^(\d{1,4})%$/.exec(text)?.[1]
  const better = percent !== undefined ? String(Number(percent) / 100) : text.startsWith('.') ? `0${text}` : '1.5'
  report(
    `${quote(text)} is no number of CPUs`,
    `From 0.01 up, with at most three decimals, for example: mypaas.maxcpu = ${parseCpus(better) ? better : '1.5'}`,
  )
  return undefined
}

/** Docker runs no container with less: "Minimum memory limit allowed is 6MB". */
const minMemoryBytes = 6 * 1024 ** 2

export function parseMaxMemory(text: string, report: Report): number | undefined {
  const bytes = parseBytes(text)
  if (bytes !== undefined && bytes >= minMemoryBytes && bytes < 2 ** 50) return bytes
  const example = /^\d{1,6}$/.test(text) && Number(text) >= 6 ? `${text}m` : '500m'
  if (bytes === undefined) {
    report(
      `${quote(text)} is no amount of memory`,
      'A number and its unit, k, m or g, for example: mypaas.maxmem = 500m',
    )
  } else if (bytes < minMemoryBytes) {
    report(`${quote(text)} is ${formatBytes(bytes)}, and the minimum is 6m`, `For example: mypaas.maxmem = ${example}`)
  } else report(`${quote(text)} is more memory than any server has`)
  return undefined
}
