#!/usr/bin/env node
import { type CommandDef, renderUsage, runCommand } from 'citty'
import { type ErrorCode, MypaasError } from '../src/errors.ts'
import { nearest } from '../src/nearest.ts'
import { print, printHelp } from './output.ts'
import { renderError } from './render.ts'

/** A command is imported when it is called: what it does not need is not loaded. */
type Leaf = { about: string; load: () => Promise<CommandDef> }
type Group = { about: string; commands: Record<string, Leaf | Group> }

const root: Group = {
  about: 'Deploy a directory as a service: one Dockerfile, behind HTTPS.',
  commands: {
    push: {
      about: 'Send a directory to a server, which builds it and deploys it as a service',
      load: async () => {
        const { prepareHelper } = await import('../src/context/index.ts')
        prepareHelper()
        return (await import('./commands/push.ts')).push
      },
    },
    attach: {
      about: 'Follow a deploy that is on, or see how it ended',
      load: async () => (await import('./commands/attach.ts')).attach,
    },
    status: {
      about: 'Show what runs on a server: services, releases, replicas, URLs',
      load: async () => (await import('./commands/calls.ts')).status,
    },
    plan: {
      about: 'Show what a push would do and change nothing',
      load: async () => (await import('./commands/calls.ts')).plan,
    },
    releases: {
      about: 'List the releases of a service on a server',
      load: async () => (await import('./commands/calls.ts')).releases,
    },
    rollback: {
      about: 'Make an older release of a service current again, without a build',
      load: async () => (await import('./commands/calls.ts')).rollback,
    },
    restart: {
      about: 'Run the current release of a service anew',
      load: async () => (await import('./commands/calls.ts')).restart,
    },
    scale: {
      about: 'Change how many replicas a service has, until its next deploy',
      load: async () => (await import('./commands/calls.ts')).scale,
    },
    stop: {
      about: 'Stop a service until it is started or deployed again',
      load: async () => (await import('./commands/calls.ts')).stop,
    },
    start: {
      about: 'Start a service that was stopped',
      load: async () => (await import('./commands/calls.ts')).start,
    },
    rm: {
      about: 'Remove a service from a server; its volumes stay unless asked for',
      load: async () => (await import('./commands/calls.ts')).rm,
    },
    logs: {
      about: 'Show what a service over there wrote, its releases and replicas merged by time',
      load: async () => (await import('./commands/inside.ts')).logs,
    },
    exec: {
      about: 'Run a command in a running replica over there: mypaas exec SERVER NAME -- CMD',
      load: async () => (await import('./commands/inside.ts')).exec,
    },
    run: {
      about: 'Run a command over there in a new container of the current release, removed after',
      load: async () => (await import('./commands/inside.ts')).run,
    },
    env: {
      about: 'The secrets of a server that services ask for by name',
      commands: {
        set: {
          about: 'Give a secret a value, which is read from stdin and never shown again',
          load: async () => (await import('./commands/env.ts')).set,
        },
        ls: { about: 'List the names of secrets', load: async () => (await import('./commands/env.ts')).ls },
        rm: { about: 'Remove a secret', load: async () => (await import('./commands/env.ts')).rm },
      },
    },
    key: {
      about: 'The key that your pushes are signed with',
      commands: {
        init: {
          about: 'Find the key that you have, or make one',
          load: async () => (await import('./commands/key.ts')).init,
        },
        get: {
          about: 'Print its public line, to be given to a server',
          load: async () => (await import('./commands/key.ts')).get,
        },
        gen: {
          about: 'Make a key for a machine, as a line for MYPAAS_PRIVATE_KEY',
          load: async () => (await import('./commands/key.ts')).gen,
        },
      },
    },
    remote: {
      about: 'Names for servers on this machine',
      commands: {
        add: { about: 'Give a server a name', load: async () => (await import('./commands/remote.ts')).add },
        ls: { about: 'List the names', load: async () => (await import('./commands/remote.ts')).ls },
        rm: { about: 'Remove a name', load: async () => (await import('./commands/remote.ts')).rm },
        forget: {
          about: 'Forget who a server was, when it was set up anew',
          load: async () => (await import('./commands/remote.ts')).forget,
        },
      },
    },
    server: {
      about: 'What runs on the server itself',
      commands: {
        daemon: {
          about: 'Take pushes, until it is ended',
          load: async () => (await import('./commands/server/daemon.ts')).daemon,
        },
        connect: {
          about: 'Join stdin and stdout to the daemon: what a push over ssh runs',
          load: async () => (await import('./commands/server/connect.ts')).connect,
        },
        key: {
          about: 'Who may push here',
          commands: {
            add: { about: 'Let a key in', load: async () => (await import('./commands/server/key.ts')).add },
            ls: {
              about: 'List the keys and what they may',
              load: async () => (await import('./commands/server/key.ts')).ls,
            },
            rm: { about: 'Let a key in no more', load: async () => (await import('./commands/server/key.ts')).rm },
          },
        },
        identity: {
          about: 'The key by which clients know this server',
          commands: {
            show: {
              about: 'Show its fingerprint, to compare with what a client shows',
              load: async () => (await import('./commands/server/identity.ts')).show,
            },
            rotate: {
              about: 'Make a new one, which the old one signs: clients follow by themselves',
              load: async () => (await import('./commands/server/identity.ts')).rotate,
            },
            'drop-old': {
              about: 'Let no older one count any more',
              load: async () => (await import('./commands/server/identity.ts')).dropOld,
            },
          },
        },
        init: {
          about: 'Make this machine a server, or bring one up to its config',
          load: async () => (await import('./commands/server/init.ts')).init,
        },
        deploy: {
          about: 'Build a directory and make it the current release of its service',
          load: async () => (await import('./commands/server/deploy.ts')).deploy,
        },
        logs: {
          about: 'Show what a service wrote, its releases and replicas merged by time',
          load: async () => (await import('./commands/server/logs.ts')).logs,
        },
        exec: {
          about: 'Run a command in a running replica: mypaas server exec NAME -- CMD',
          load: async () => (await import('./commands/server/inside.ts')).exec,
        },
        run: {
          about: 'Run a command in a new container of the current release, removed after',
          load: async () => (await import('./commands/server/inside.ts')).run,
        },
        rollback: {
          about: 'Make an older release current again, without a build',
          load: async () => (await import('./commands/server/again.ts')).rollback,
        },
        releases: {
          about: 'List the releases of a service',
          load: async () => (await import('./commands/server/releases.ts')).releases,
        },
        restart: {
          about: 'Run the current release of a service anew, or restart the router, the daemon, or all',
          load: async () => (await import('./commands/server/again.ts')).restart,
        },
        scale: {
          about: 'Change how many replicas a service has, until its next deploy',
          load: async () => (await import('./commands/server/again.ts')).scale,
        },
        stop: {
          about: 'Stop a service until it is started or deployed again',
          load: async () => (await import('./commands/server/lifecycle.ts')).stop,
        },
        start: {
          about: 'Start a service that was stopped',
          load: async () => (await import('./commands/server/lifecycle.ts')).start,
        },
        rm: {
          about: 'Remove a service; its volumes stay unless asked for',
          load: async () => (await import('./commands/server/lifecycle.ts')).rm,
        },
        reconcile: {
          about: 'Bring a service, or all, to what they should be',
          load: async () => (await import('./commands/server/lifecycle.ts')).reconcile,
        },
        status: {
          about: 'Show what runs: services, releases, replicas, URLs',
          load: async () => (await import('./commands/server/status.ts')).status,
        },
        doctor: {
          about: 'Look for what is wrong with this server, and say what mends it',
          load: async () => (await import('./commands/server/doctor.ts')).doctor,
        },
        upgrade: {
          about: 'Bring the router to the version of the config, the daemon to the installed mypaas; services run on',
          load: async () => (await import('./commands/server/upgrade.ts')).upgrade,
        },
        'schedule-reboot': {
          about: 'Have the machine reboot later, or not: 10m, 03:00, cancel',
          load: async () => (await import('./commands/server/reboot.ts')).scheduleReboot,
        },
        certs: {
          about: 'List the certificates of https URLs, and why one is missing',
          load: async () => (await import('./commands/server/certs.ts')).certs,
        },
        down: {
          about: 'Remove all services and the router of this server; volumes stay',
          load: async () => (await import('./commands/server/down.ts')).down,
        },
      },
    },
    version: { about: 'Show the version', load: async () => (await import('./commands/version.ts')).version },
  },
}

const exitCodes: Readonly<Record<ErrorCode, number>> = {
  usage: 2,
  directives: 2,
  context: 2,
  unauthorised: 3,
  locked: 4,
  failed: 1,
  engine: 1,
  unreachable: 1,
  'rolled-back': 5,
  degraded: 6,
  aborted: 130,
}

/** Commands that must not end in the middle because nobody listens. */
const changing: ReadonlySet<string> = new Set([
  ...[
    'deploy',
    'push',
    'rollback',
    'restart',
    'scale',
    'stop',
    'start',
    'rm',
    'reconcile',
    'env',
    'key',
    'remote',
    'identity',
  ],
  ...['init', 'upgrade', 'down', 'daemon', 'schedule-reboot', 'schedule_reboot', 'doctor', 'connect'],
])

for (const stream of [process.stdout, process.stderr]) stream.on('error', nobodyReads)

process.exitCode = await main(process.argv.slice(2))

/**
 * Whoever reads what we say has had enough (`| head`), or the terminal is closed. What changes something goes on to its end
 * all the same.
 */
function nobodyReads(error: NodeJS.ErrnoException): void {
  if (error.code !== 'EPIPE' && error.code !== 'EIO' && error.code !== 'ERR_STREAM_DESTROYED') throw error
  const command = process.argv.slice(2).find((word) => word !== 'server')
  if (!changing.has(command ?? '')) process.exit(0)
}

/** Runs the command that the words name. @returns the exit code */
async function main(words: readonly string[]): Promise<number> {
  try {
    if (words[0] === '--version' || words[0] === '-v') return await main(['version'])
    const { path, entry, rest } = resolve(words)
    if ('commands' in entry) return help(path, entry, rest)
    const found = await entry.load()
    const named = { ...found, meta: { name: ['mypaas', ...path].join(' '), description: entry.about } }
    const flags = rest.includes('--') ? rest.slice(0, rest.indexOf('--')) : rest
    if (flags.includes('--help') || flags.includes('-h')) {
      printHelp(await renderUsage(named))
      return 0
    }
    const { result } = await runCommand(named, { rawArgs: [...rest] })
    return typeof result === 'number' ? result : 0
  } catch (error) {
    const known = asMypaasError(error)
    renderError(known)
    return known instanceof MypaasError ? exitCodes[known.code] : 1
  }
}

/** Names may be written with dashes or underscores, as in earlier versions: `schedule_reboot`. */
function resolve(words: readonly string[]): { path: string[]; entry: Leaf | Group; rest: readonly string[] } {
  let entry: Leaf | Group = root
  const path: string[] = []
  let rest = words
  while ('commands' in entry && rest[0] !== undefined && !rest[0].startsWith('-')) {
    const word: string = rest[0].replaceAll('_', '-')
    const next: Leaf | Group | undefined = word === 'help' ? undefined : entry.commands[word]
    if (word === 'help') return { path, entry, rest: ['--help', ...rest.slice(1)] }
    if (!next) {
      const guess = nearest(word, Object.keys(entry.commands))
      throw new MypaasError(`There is no command ${['mypaas', ...path, word].join(' ')}.`, {
        code: 'usage',
        hint:
          path.length === 0 && word === 'deploy'
            ? 'On the server itself: mypaas server deploy DIR; from elsewhere: mypaas push SERVER DIR'
            : guess
              ? `Did you mean ${['mypaas', ...path, guess].join(' ')}?`
              : `See ${['mypaas', ...path, '--help'].join(' ')}`,
      })
    }
    path.push(word)
    entry = next
    rest = rest.slice(1)
  }
  return { path, entry, rest }
}

function help(path: readonly string[], group: Group, rest: readonly string[]): number {
  const asked = rest.length === 0 || rest.includes('--help') || rest.includes('-h')
  if (!asked) throw new MypaasError(`There is no flag ${rest[0]}.`, { code: 'usage', hint: 'See mypaas --help' })
  const lines: [string, string][] = []
  const list = (prefix: readonly string[], commands: Group['commands']): void => {
    for (const [name, entry] of Object.entries(commands)) {
      if ('commands' in entry) list([...prefix, name], entry.commands)
      else lines.push([[...prefix, name].join(' '), entry.about])
    }
  }
  list(path, group.commands)
  const width = Math.max(...lines.map(([name]) => name.length))
  print(
    [
      group.about,
      '',
      `Usage: ${['mypaas', ...path].join(' ')} COMMAND [--help]`,
      '',
      ...lines.map(([name, about]) => `  ${name.padEnd(width)}  ${about}`),
    ].join('\n'),
  )
  return 0
}

/** citty does not export its own error class, but its errors are about the call; an abort is what Ctrl-C asked for. */
function asMypaasError(error: unknown): unknown {
  if (error instanceof Error && error.constructor.name === 'CLIError') {
    return new MypaasError(error.message, { code: 'usage', hint: 'See --help.', cause: error })
  }
  if (error instanceof Error && error.name === 'AbortError') {
    return new MypaasError('Stopped on request.', { code: 'aborted', cause: error })
  }
  return error
}
