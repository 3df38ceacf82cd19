import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { chmod, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { MypaasError } from '../errors.ts'
import { readIfThere } from '../files.ts'

/** What the daemon's unit of systemd is made of. */
export type DaemonUnit = Readonly<{
  /** Absolute paths of Node and of the command line's `main.js`. */
  node: string
  program: string
  home: string
  instance: string
  /** Directories besides the home in which services may have volumes. */
  volumeRoots: readonly string[]
}>

/** How the command line is started: Node and `main.js`, absolute paths. */
export type Program = Readonly<{ node: string; main: string }>

/** The unit of the daemon of one server. */
export function unitOf(
  { node, main }: Program,
  home: string,
  { instance, volumeRoots }: Readonly<{ instance: string; volumeRoots: readonly string[] }>,
): DaemonUnit {
  return { node, program: main, home, instance, volumeRoots }
}

/** Where systemd keeps units that a machine's administrator adds, and where it says that it runs. */
export type Systemd = Readonly<{ units: string; running: string; systemctl: string }>

const systemd: Systemd = { units: '/etc/systemd/system', running: '/run/systemd/system', systemctl: 'systemctl' }

/** `mypaas.service`, or `mypaas-INSTANCE.service`. */
export function unitName(instance: string): string {
  return instance === '' ? 'mypaas.service' : `mypaas-${instance}.service`
}

/**
 * The unit's text. It is Docker's to start containers, so the daemon itself needs little: files of its own and of
 * volumes, which it may give to the users of images, and to end the commands of clients that left. Not `ProtectHome`, for
 * that is where everything lies, and not `ProtectProc`, for the sockets of containers are read there. No dependency stops
 * it with Docker: it is the one that brings services in order when Docker comes back.
 */
export function unitText({ node, program, home, instance, volumeRoots }: DaemonUnit): string {
  // One that is not there yet must not keep the daemon from starting.
  const writable = [home, ...volumeRoots.map((root) => `-${root}`)].map(quote).join(' ')
  return `[Unit]
Description=mypaas${instance === '' ? '' : ` (${instance})`}: takes pushes, keeps services as they should be
Documentation=https://www.npmjs.com/package/mypaas
After=network-online.target docker.service
Wants=network-online.target docker.service
StartLimitIntervalSec=0

[Service]
ExecStart=${quote(node)} ${quote(program)} server daemon
Environment=${quote(`HOME=${home}`)} NODE_ENV=production
WorkingDirectory=${home.replaceAll('%', '%%')}
Restart=always
RestartSec=1
# A deploy that is on may finish.
KillMode=mixed
TimeoutStopSec=90
UMask=0077
LimitCORE=0
OOMScoreAdjust=-500
TasksMax=512
NoNewPrivileges=yes
CapabilityBoundingSet=CAP_CHOWN CAP_DAC_OVERRIDE CAP_FOWNER CAP_KILL
ProtectSystem=strict
ReadWritePaths=${writable}
PrivateTmp=yes
PrivateDevices=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
# Refused, not killed: what a newer Node tries out it can do without.
SystemCallErrorNumber=EPERM

[Install]
WantedBy=multi-user.target
`
}

/** What became of the unit: `absent` where systemd does not run, or somebody else than root asks. */
export type UnitState = 'created' | 'changed' | 'unchanged' | 'absent'

/** What {@link ensureUnit} would do. */
export async function unitState(unit: DaemonUnit, at: Systemd = systemd): Promise<UnitState> {
  if (!existsSync(at.running) || process.getuid?.() !== 0) return 'absent'
  const text = await readIfThere(join(at.units, unitName(unit.instance)))
  return text === undefined ? 'created' : text === unitText(unit) ? 'unchanged' : 'changed'
}

/** Writes the unit and has systemd start it, now and at each boot. */
export async function ensureUnit(unit: DaemonUnit, at: Systemd = systemd): Promise<UnitState> {
  const state = await unitState(unit, at)
  if (state === 'absent') return state
  const name = unitName(unit.instance)
  if (state !== 'unchanged') {
    const file = join(at.units, name)
    await writeFile(file, unitText(unit), { mode: 0o644 })
    await chmod(file, 0o644)
    await systemctl(at, ['daemon-reload'])
  }
  await systemctl(at, ['enable', '--quiet', name])
  await systemctl(at, [state === 'changed' ? 'restart' : 'start', name])
  return state
}

/** Stops the unit for good and removes it. @returns whether there was one */
export async function removeUnit(instance: string, at: Systemd = systemd): Promise<boolean> {
  const file = join(at.units, unitName(instance))
  if (!existsSync(at.running) || !existsSync(file)) return false
  await systemctl(at, ['disable', '--quiet', '--now', unitName(instance)])
  await rm(file)
  await systemctl(at, ['daemon-reload'])
  return true
}

/** Restarts the daemon. @throws {MypaasError} `usage` where systemd does not run it */
export async function restartUnit(instance: string, at: Systemd = systemd): Promise<void> {
  if (!existsSync(at.running) || !existsSync(join(at.units, unitName(instance)))) {
    throw new MypaasError('The daemon is not run by systemd here, so whoever started it must restart it.', {
      code: 'usage',
      hint: 'End its process and start it again: mypaas server daemon',
    })
  }
  await systemctl(at, ['restart', unitName(instance)])
}

async function systemctl(at: Systemd, args: readonly string[]): Promise<void> {
  try {
    await promisify(execFile)(at.systemctl, args, { timeout: 120_000 })
  } catch (cause) {
    const said = (cause as { stderr?: string }).stderr?.trim()
    throw new MypaasError(`systemctl ${args.join(' ')} failed${said ? `: ${said}` : ''}.`, {
      code: 'failed',
      hint: `See: systemctl status ${args.at(-1)}; journalctl -u ${args.at(-1)}`,
      cause,
    })
  }
}

/** As systemd reads words: in quotes, with its `%` doubled. */
function quote(word: string): string {
  const text = word.replaceAll('%', '%%').replaceAll('\\', '\\\\').replaceAll('"', '\\"')
  return /^[\w./:=@%+-]+$/.test(text) ? text : `"${text}"`
}
