import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { formatBytes, formatDuration, parseBytes, parseCpus, parseDuration } from '../src/units.ts'

test('a duration is a number and one of the units ms, s, m, h', () => {
  const table: [text: string, ms: number][] = [
    ['1ms', 1],
    ['500ms', 500],
    ['10s', 10_000],
    ['0.5s', 500],
    ['1.5m', 90_000],
    ['1m', 60_000],
    ['2h', 7_200_000],
    ['007s', 7000],
  ]
  for (const [text, ms] of table) assert.equal(parseDuration(text), ms, text)
})

test('what is no duration is refused, also what the earlier check by endings let through', () => {
  const wrong = [
    '',
    '10',
    's',
    '5mh',
    'foos',
    '-1s',
    '+1s',
    '1 s',
    ' 1s',
    '1s ',
    '1S',
    '1d',
    '.5s',
    '1.s',
    '1e3s',
    '1.2345s',
    '٣s',
  ]
  for (const text of [...wrong, '0s', '0.4ms', '9999999999999999h']) assert.equal(parseDuration(text), undefined, text)
})

test('a duration is written in its largest whole unit', () => {
  const table: [ms: number, text: string][] = [
    [1, '1ms'],
    [1500, '1500ms'],
    [90_000, '90s'],
    [120_000, '2m'],
    [7_200_000, '2h'],
    [90_000_000, '25h'],
    [0, '0ms'],
  ]
  for (const [ms, text] of table) assert.equal(formatDuration(ms), text)
})

test('every duration in whole milliseconds survives being written and read', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 10 ** 12 }), (ms) => {
      assert.equal(parseDuration(formatDuration(ms)), ms)
    }),
    { numRuns: 2000 },
  )
})

test('byte sizes are read as docker run --memory reads them: powers of 1024, case ignored', () => {
  const table: [text: string, bytes: number][] = [
    ['1', 1],
    ['1024', 1024],
    ['64b', 64],
    ['64k', 65_536],
    ['500m', 524_288_000],
    ['500M', 524_288_000],
    ['500mb', 524_288_000],
    ['500MiB', 524_288_000],
    ['1.5g', 1_610_612_736],
    ['2t', 2_199_023_255_552],
  ]
  for (const [text, bytes] of table) assert.equal(parseBytes(text), bytes, text)
})

test('what is no byte size is refused', () => {
  const wrong = [
    '',
    'm',
    '-1m',
    '1 m',
    '1,5g',
    '0',
    '0m',
    '1x',
    '1mm',
    '1p',
    'half',
    '1e3',
    '999999999999999t',
    '0.1',
    '1.5',
    '1.5b',
  ]
  for (const text of wrong) assert.equal(parseBytes(text), undefined, text)
})

test('bytes for people go to the next unit at 1024, and have one decimal below 10', () => {
  const table: [bytes: number, text: string][] = [
    [0, '0 B'],
    [1023, '1023 B'],
    [1024, '1.0 KiB'],
    [1536, '1.5 KiB'],
    [10_188, '9.9 KiB'],
    [10_230, '10 KiB'],
    [1_048_575, '1.0 MiB'],
    [5_242_880, '5.0 MiB'],
    [524_288_000, '500 MiB'],
    [1024 ** 4, '1.0 TiB'],
    [1024 ** 5, '1024 TiB'],
  ]
  for (const [bytes, text] of table) assert.equal(formatBytes(bytes), text)
})

test('CPUs are plain numbers above 0, with at most three decimals', () => {
  const table: [text: string, cpus: number | undefined][] = [
    ['1', 1],
    ['0.5', 0.5],
    ['1.25', 1.25],
    ['1024', 1024],
    ['0.001', 0.001],
    ['0', undefined],
    ['0.000', undefined],
    ['1025', undefined],
    ['1.2345', undefined],
    ['.5', undefined],
    ['1.', undefined],
    ['nan', undefined],
    ['inf', undefined],
    ['1e3', undefined],
    ['-1', undefined],
    ['50%', undefined],
    ['', undefined],
  ]
  for (const [text, cpus] of table) assert.equal(parseCpus(text), cpus, text)
})

test('no text makes a parser throw, or give anything but a positive number', () => {
  const near = fc.stringMatching(/^[0-9.]{0,18}[a-zA-Z%]{0,3}$/)
  fc.assert(
    fc.property(fc.oneof(near, fc.string({ unit: 'binary' })), (text) => {
      for (const parse of [parseDuration, parseBytes]) {
        const value = parse(text)
        assert.ok(value === undefined || (Number.isSafeInteger(value) && value >= 1))
      }
      const cpus = parseCpus(text)
      assert.ok(cpus === undefined || (cpus > 0 && cpus <= 1024))
    }),
    { numRuns: 5000 },
  )
})
