import { statfs } from 'node:fs/promises'
import https from 'node:https'
import type { Host } from '../../deploy/host.ts'
import { formatBytes, formatDuration } from '../../units.ts'
import type { ServerConfig } from '../config.ts'
import type { Finding } from './finding.ts'

/** What is known of machine and engine. */
export type MachineFacts = Readonly<{
  engine: Readonly<{ version: string; apiVersion: string; storage: string; warnings: readonly string[] }>
  /** One for each file system that mypaas or the engine writes to. */
  disks: readonly Readonly<{ path: string; free: number; total: number; freeInodes: number; inodes: number }>[]
  /** How far this machine's clock is ahead of the certificate authority's; `undefined` where none was asked. */
  clockAheadMs: number | undefined
  /** Why the authority was not reached. */
  authority: string | undefined
}>

const littleDisk = 1024 ** 3
const clockToleranceMs = 60_000
const authorityTimeoutMs = 5_000
const letsEncrypt = 'https://acme-v02.api.letsencrypt.org/directory'

export async function machineFacts(host: Host, config: ServerConfig): Promise<MachineFacts> {
  const [version, info] = await Promise.all([host.docker.system.version(), host.docker.system.info()])
  const paths = [...new Set([host.directory, info.DockerRootDir])]
  const disks = await Promise.all(paths.map(diskAt))
  const asks = config.router.email !== ''
  const asked = asks ? await askAuthority(config.router.caServer || letsEncrypt) : undefined
  return {
    engine: {
      version: version.Version,
      apiVersion: version.ApiVersion,
      storage: info.Driver,
      warnings: info.Warnings ?? [],
    },
    disks: disks.filter((disk) => disk !== undefined),
    clockAheadMs: asked && 'aheadMs' in asked ? asked.aheadMs : undefined,
    authority: asked && 'why' in asked ? asked.why : undefined,
  }
}

export function judgeMachine(facts: MachineFacts): readonly Finding[] {
  const findings: Finding[] = []
  const { engine } = facts
  if (engine.storage === 'vfs' || engine.storage === 'devicemapper') {
    findings.push({
      check: 'engine',
      level: 'warning',
      message: `The engine stores images by ${engine.storage}, which copies each layer whole: slow, and it fills the disk.`,
      mend: 'Set "storage-driver": "overlay2" in /etc/docker/daemon.json (images are pulled and built anew then), and restart Docker.',
    })
  }
  for (const warning of engine.warnings.filter((text) =>
    /memory limit|cpu (cfs|shares)|pids limit|ip_forward|IPv4 forwarding/i.test(text),
  )) {
    findings.push({
      check: 'engine',
      level: /forward/i.test(warning) ? 'problem' : 'warning',
      message: `The engine says: ${warning.replace(/^WARNING: /, '')}`,
      mend: /forward/i.test(warning)
        ? 'sysctl -w net.ipv4.ip_forward=1'
        : 'Limits of services (maxmem, maxcpu) have no effect until the kernel allows them: see docker info.',
    })
  }
  for (const disk of facts.disks) {
    if (disk.free < littleDisk || disk.free < disk.total * 0.05) {
      findings.push({
        check: 'disk',
        level: disk.free < littleDisk / 4 ? 'problem' : 'warning',
        message: `Only ${formatBytes(disk.free)} of ${formatBytes(disk.total)} are free for ${disk.path}.`,
        mend: 'docker system df shows what the engine has; fewer kept releases: keep_releases in [server] of config.toml',
      })
    }
    if (disk.inodes > 0 && disk.freeInodes < disk.inodes * 0.05) {
      findings.push({
        check: 'disk',
        level: disk.freeInodes < 10_000 ? 'problem' : 'warning',
        message: `Only ${disk.freeInodes} of ${disk.inodes} inodes are free for ${disk.path}: no more files can be made, whatever the space.`,
        mend: 'Find the many small files: du --inodes -x / | sort -n | tail',
      })
    }
  }
  if (facts.authority !== undefined) {
    findings.push({
      check: 'network',
      level: 'warning',
      message: `The certificate authority is not reached from here (${facts.authority}), so certificates are neither got nor renewed.`,
      mend: 'Check DNS and outgoing port 443 of this machine: curl -I https://acme-v02.api.letsencrypt.org/directory',
    })
  }
  const ahead = facts.clockAheadMs
  if (ahead !== undefined && Math.abs(ahead) > clockToleranceMs) {
    findings.push({
      check: 'clock',
      level: 'problem',
      message: `The clock of this machine is ${formatDuration(Math.round(Math.abs(ahead) / 1000) * 1000)} ${ahead > 0 ? 'ahead' : 'behind'}: certificates and signed pushes will be refused.`,
      mend: 'timedatectl set-ntp true',
    })
  }
  return findings
}

async function diskAt(path: string): Promise<MachineFacts['disks'][number] | undefined> {
  try {
    const { bavail, blocks, bsize, ffree, files } = await statfs(path)
    return { path, free: bavail * bsize, total: blocks * bsize, freeInodes: ffree, inodes: files }
  } catch {
    return undefined
  }
}

/** One request shows both: that the way out works, and what time it is there. */
function askAuthority(url: string): Promise<{ aheadMs: number } | { why: string }> {
  const begun = Date.now()
  return new Promise((resolve) => {
    const options = { agent: false, timeout: authorityTimeoutMs, rejectUnauthorized: false }
    const request = https.get(url, options, (response) => {
      const date = Date.parse(response.headers.date ?? '')
      resolve(Number.isNaN(date) ? { why: 'it tells no time' } : { aheadMs: (begun + Date.now()) / 2 - date })
      response.destroy()
    })
    request.once('timeout', () => request.destroy(new Error(`no answer within ${authorityTimeoutMs / 1000} s`)))
    request.once('error', (error: NodeJS.ErrnoException) => resolve({ why: error.code ?? error.message }))
  })
}
