// Preloaded into a command: its clock is set by SET_CLOCK_MS when it begins the step of the number SET_CLOCK_AT_STEP (0:
// from its start). What measures time by `performance.now()` or timers does not notice, as in truth.
const byMs = Number(process.env.SET_CLOCK_MS)
const at = Number(process.env.SET_CLOCK_AT_STEP ?? 0)
const RealDate = globalThis.Date
const write = process.stdout.write.bind(process.stdout)
let begun = 0

globalThis.Date = class extends RealDate {
  constructor(...args) {
    super(...(args.length === 0 ? [globalThis.Date.now()] : args))
  }

  static now() {
    return RealDate.now() + (begun >= at ? byMs : 0)
  }
}

process.stdout.write = (chunk, ...rest) => {
  if (/^\{"type":"step".*"state":"started"/.test(chunk)) begun += 1
  return write(chunk, ...rest)
}
