// Preloaded into a command that prints events (`--json`): SIGKILL at the very moment at which it would begin the step of
// that number. Nothing of the step is done then, and all of the steps before.
//   KILL_AT_STEP    counted from 1, over the whole command; or its kind, such as `drain`
const wanted = process.env.KILL_AT_STEP
const write = process.stdout.write.bind(process.stdout)
let begun = 0

process.stdout.write = (chunk, ...rest) => {
  const [, kind] = /^\{"type":"step","step":"(\w+)".*"state":"started"/.exec(chunk) ?? []
  if (kind !== undefined) begun += 1
  if (kind !== undefined && (kind === wanted || `${begun}` === wanted)) process.kill(process.pid, 'SIGKILL')
  return write(chunk, ...rest)
}
