// Preloaded into a command: SIGKILL at one moment of it.
//   KILL_AT_STEP    of one that prints events (`--json`): when it would begin the step of that number, counted from 1 over
//                   the whole command, or of that kind, such as `drain`. Nothing of the step is done then, and all of the
//                   steps before.
//   KILL_AT_FILE    when it has written a file beside its place and would put it there: that file, counted from 1
//   FILES_SEEN      where each file is named that it puts in its place, a line for each
import { appendFileSync } from 'node:fs'
import files from 'node:fs/promises'
import { syncBuiltinESMExports } from 'node:module'

const { KILL_AT_STEP: wantedStep, KILL_AT_FILE: wantedFile, FILES_SEEN: list } = process.env
const write = process.stdout.write.bind(process.stdout)
let begun = 0

process.stdout.write = (chunk, ...rest) => {
  const [, kind] = /^\{"type":"step","step":"(\w+)".*"state":"started"/.exec(chunk) ?? []
  if (kind !== undefined) begun += 1
  if (kind !== undefined && (kind === wantedStep || `${begun}` === wantedStep)) process.kill(process.pid, 'SIGKILL')
  return write(chunk, ...rest)
}

const rename = files.rename
let put = 0

files.rename = (from, to) => {
  put += 1
  if (list !== undefined) appendFileSync(list, `${to}\n`)
  if (`${put}` === wantedFile) process.kill(process.pid, 'SIGKILL')
  return rename(from, to)
}
syncBuiltinESMExports()
