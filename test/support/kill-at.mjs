// Preloaded into a command that prints events (`--json`): SIGKILL at the very moment at which it would begin the step of
// that number. Nothing of the step is done then, and all of the steps before.
//   KILL_AT_STEP    counted from 1, over the whole command
const at = Number(process.env.KILL_AT_STEP)
const write = process.stdout.write.bind(process.stdout)
let begun = 0

process.stdout.write = (chunk, ...rest) => {
  if (/^\{"type":"step".*"state":"started"/.test(chunk)) begun += 1
  if (begun === at) process.kill(process.pid, 'SIGKILL')
  return write(chunk, ...rest)
}
