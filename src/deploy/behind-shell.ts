import { constants } from 'node:os'
import type { ContainerTop, Docker } from '../docker/index.ts'

/**
 * Asks what runs behind a shell to end, and waits until it has: the shell of `CMD node server.js` and of a script that
 * ends without `exec` dies of the signal that the engine sends, and with it everything, at once.
 *
 * The programs that the shell waits for get the signal (of a pipeline the first, the others find their input at its end);
 * the shell is held meanwhile, so that it goes on to nothing new, and gets the signal when they are through. A shell that
 * listens to the signal itself (`trap`) is left to do as its author wants. Where nothing of this can be done nothing is.
 * @param options.stopSignal As the container has it: `SIGQUIT`, `15`, `SIGRTMIN+3`.
 * @param options.graceMs Then it is given up; the programs may still run.
 */
export async function endBehindShell(
  docker: Docker,
  id: string,
  options: { stopSignal: string | undefined; graceMs: number },
): Promise<void> {
  const { graceMs } = options
  const signal = numberOf(options.stopSignal)
  if (signal === undefined) return
  const top = await docker.containers.top(id, { psArgs, timeoutMs: graceMs }).catch(() => undefined)
  if (top && !hasShell(top)) return
  const { Id } = await docker.exec.create(
    id,
    {
      Cmd: ['/bin/sh', '-c', script, 'sh', `${signal}`],
      AttachStdin: true,
      AttachStdout: true,
    },
    { timeoutMs: graceMs },
  )
  const stream = await docker.exec.start(Id, { tty: false, timeoutMs: graceMs })
  // An image need not have `sleep`: the script looks once for each line that it is given.
  const ticks = setInterval(() => stream.stdin.write('\n'), tickMs)
  try {
    for await (const _ of stream);
  } finally {
    clearInterval(ticks)
    stream.close()
  }
}

const tickMs = 50

/** Without an end to its columns `ps` shows up to 128 KiB of each process, which is for the container to choose. */
const psArgs = '-eo pid,args --columns 200'

/** What `ps` shows of a container tells only that there is a shell, not whether anything waits behind it. */
function hasShell({ Titles, Processes }: ContainerTop): boolean {
  const column = Titles.findIndex((title) => title === 'CMD' || title === 'COMMAND')
  return (Processes ?? []).some((fields) =>
    /^-?(\S*\/)?(sh|ash|dash|bash|zsh|ksh|busybox)(\s|$)/.test(fields[column] ?? ''),
  )
}

/** `SIGTERM`, `TERM`, `15`, `SIGRTMIN+3`; nothing for what is none. Linux's numbers, which are the container's. */
function numberOf(stopSignal: string | undefined): number | undefined {
  const name = (stopSignal || 'SIGTERM').toUpperCase().replace(/^SIG/, '')
  if (/^\d{1,2}$/.test(name)) return Number(name)
  const realTime = /^RTM(?:IN(?:\+(\d{1,2}))?|AX(?:-(\d{1,2}))?)$/.exec(name)
  if (realTime) return realTime[0].startsWith('RTMIN') ? 34 + Number(realTime[1] ?? 0) : 64 - Number(realTime[2] ?? 0)
  return (constants.signals as Readonly<Record<string, number>>)[`SIG${name}`]
}

/**
 * For the shell of any image, with nothing but what is built into it. Its argument is the number of the signal. When its
 * input ends before the programs have, it lets the shells go on and leaves the rest to whoever comes.
 */
const script = `
n=$1 shells= front=
# Sets state and parent of a process; false when it has ended.
look() {
  line=
  read -r line 2>/dev/null <"/proc/$1/stat" || return 1
  line=\${line##*') '}
  state=\${line%% *}
  line=\${line#* }
  parent=\${line%% *}
  [ "$state" != Z ] && [ "$state" != X ]
}
is() { [ "/proc/$1/exe" -ef "$2" ]; }
# Busybox is many programs in one file: how it was called tells which.
is_busybox_shell() {
  words= name=
  read -r words 2>/dev/null <"/proc/$1/cmdline"
  read -r name 2>/dev/null <"/proc/$1/comm"
  case $name in sh | ash | bash) return 0 ;; esac
  case $words in sh/* | ash/* | bash/* | */sh/* | */ash/* | */bash/* | busyboxsh* | */busyboxsh*) return 0 ;; esac
  return 1
}
is_shell() {
  for file in /bin/sh /bin/bash /bin/dash /bin/ash /bin/busybox /bin/zsh /bin/ksh /usr/local/bin/bash; do
    is "$1" "$file" || continue
    if is "$1" /bin/busybox || is "$1" /bin/cat; then is_busybox_shell "$1" || return 1; fi
    return 0
  done
  return 1
}
# Whether a process has a handler for the signal.
listens() {
  while read -r key mask; do
    [ "$key" = SigCgt: ] || continue
    i=$(((n - 1) / 4))
    while [ "$i" -gt 0 ]; do mask=\${mask%?} i=$((i - 1)); done
    [ "$((0x\${mask#"\${mask%?}"} >> (n - 1) % 4 & 1))" = 1 ]
    return
  done 2>/dev/null <"/proc/$1/status"
  return 1
}
down() {
  if ! is_shell "$1" || listens "$1"; then
    front="$front $1"
    return
  fi
  shells="$shells $1"
  kill -STOP "$1" 2>/dev/null || return 0
  # Until then it may start another program.
  while look "$1" && [ "$state" != T ]; do :; done
  below "$1"
}
below() {
  for process in /proc/[0-9]*; do
    if look "\${process#/proc/}" && [ "$parent" = "$1" ]; then down "\${process#/proc/}"; fi
  done
}
# Whether what a process reads comes from another one that is to end.
is_fed() {
  [ -p "/proc/$1/fd/0" ] || return 1
  for other in $front; do
    [ "$other" != "$1" ] && [ "/proc/$other/fd/1" -ef "/proc/$1/fd/0" ] && return 0
  done
  return 1
}
until_gone() {
  for pid in $1; do
    while look "$pid"; do read -r _ || return 1; done
  done
}
read -r init </proc/1/comm
case $init in docker-init | tini | tini-static | dumb-init | catatonit) ;; *) exit 0 ;; esac
below 1
[ -n "$shells" ] || exit 0
first= fed=
for pid in $front; do
  if is_fed "$pid"; then fed="$fed $pid"; else first="$first $pid"; fi
done
[ -z "$first" ] || kill -"$n" $first 2>/dev/null
if until_gone "$first"; then
  [ -z "$fed" ] || kill -"$n" $fed 2>/dev/null
  until_gone "$fed" && kill -"$n" $shells 2>/dev/null
fi
kill -CONT $shells 2>/dev/null
`
