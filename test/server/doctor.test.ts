import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { NameReport } from '../../src/router/certificates.ts'
import { judgeCertificates } from '../../src/server/doctor/certificates.ts'
import { type DaemonFacts, judgeDaemon } from '../../src/server/doctor/daemon.ts'
import { judgeFiles } from '../../src/server/doctor/files.ts'
import type { Finding } from '../../src/server/doctor/finding.ts'
import { judgeMachine, type MachineFacts } from '../../src/server/doctor/machine.ts'
import { judgeRouter, type RouterFacts } from '../../src/server/doctor/router.ts'
import { judgeServices, type ServiceFacts } from '../../src/server/doctor/services.ts'
import { judgeVolumes } from '../../src/server/doctor/volumes.ts'
import type { ServiceStatus } from '../../src/server/status.ts'

const gib = 1024 ** 3
const day = 86_400_000
const now = new Date('2026-06-01T00:00:00Z')
const disk = { path: '/var/lib/docker', free: 50 * gib, total: 100 * gib, freeInodes: 900_000, inodes: 1_000_000 }
const machine: MachineFacts = {
  engine: { version: '28.5', apiVersion: '1.51', storage: 'overlay2', warnings: ['WARNING: No swap limit support'] },
  disks: [disk],
  clockAheadMs: 200,
  authority: undefined,
}
const router: RouterFacts = {
  container: 'traefik',
  state: 'running',
  trouble: undefined,
  problems: [],
  ports: [{ port: 80, answers: true }],
}
const daemon: DaemonFacts = {
  domain: 'paas.example.com',
  runs: true,
  outdated: false,
  address: '172.20.0.1:8083',
  listens: true,
  byRouter: 401,
  bridge: 'br-abc',
}
const service: ServiceStatus = {
  service: 'blog',
  release: 7,
  next: undefined,
  running: 1,
  wanted: 1,
  stopped: false,
  urls: ['https://example.com/'],
  routed: true,
  certificates: {},
  deployedAt: '',
  changedSecrets: [],
  replicas: [{ name: 'blog-r7-1', state: 'running', health: undefined, restarts: 1, startedAt: '' }],
  outOfMemory: undefined,
  problem: undefined,
}
const services: ServiceFacts = {
  services: [service],
  unarmed: [],
  logs: [{ container: 'blog-r7-1', bytes: 9 * 1024 ** 2 }],
  logLimit: 10 * 1024 ** 2,
  containers: [],
  images: [],
}
const certificate = {
  issuer: 'R11',
  serial: '1',
  notBefore: '2026-04-20T00:00:00Z',
  notAfter: '2026-07-19T00:00:00Z',
  trusted: true,
}
const name: NameReport = {
  host: 'example.com',
  state: 'trusted',
  source: 'authority',
  certificate,
  renewAt: '2026-06-19T00:00:00Z',
}

test('a healthy server has no findings', () => {
  const all = [
    ...judgeMachine(machine),
    ...judgeFiles([{ path: '/root/_mypaas/config.toml', mode: 0o600, allowed: 0o600 }]),
    ...judgeRouter(router),
    ...judgeDaemon(daemon),
    ...judgeDaemon({ ...daemon, domain: '', listens: false, byRouter: undefined }),
    ...judgeCertificates([name], now),
    ...judgeServices(services),
  ]
  assert.deepEqual(all, [])
})

const broken: Readonly<Record<string, readonly [readonly Finding[], RegExp, RegExp]>> = {
  'a storage driver that copies everything': [
    judgeMachine({ ...machine, engine: { ...machine.engine, storage: 'vfs' } }),
    /^warning engine: The engine stores images by vfs/,
    /overlay2/,
  ],
  'forwarding that is off': [
    judgeMachine({ ...machine, engine: { ...machine.engine, warnings: ['WARNING: IPv4 forwarding is disabled'] } }),
    /^problem engine: The engine says: IPv4 forwarding is disabled/,
    /sysctl/,
  ],
  'a disk that is nearly full': [
    judgeMachine({ ...machine, disks: [{ ...disk, free: 0.1 * gib }] }),
    /^problem disk: Only 102 MiB of 100 GiB are free for \/var\/lib\/docker/,
    /docker system df/,
  ],
  'no inodes left': [
    judgeMachine({ ...machine, disks: [{ ...disk, freeInodes: 20_000 }] }),
    /^warning disk: Only 20000 of 1000000 inodes are free/,
    /du --inodes/,
  ],
  'a clock that is wrong': [
    judgeMachine({ ...machine, clockAheadMs: -3_600_000 }),
    /^problem clock: The clock of this machine is 1h behind/,
    /timedatectl/,
  ],
  'no way to the authority': [
    judgeMachine({ ...machine, clockAheadMs: undefined, authority: 'ENOTFOUND' }),
    /^warning network: The certificate authority is not reached from here \(ENOTFOUND\)/,
    /curl/,
  ],
  'a service that ran out of memory': [
    judgeServices({
      ...services,
      services: [{ ...service, outOfMemory: 'ran out of memory', problem: 'ran out of memory' }],
    }),
    /^problem memory: blog ran out of memory\./,
    /maxmem.*mypaas server logs blog/,
  ],
  'a secret that was changed since': [
    judgeServices({ ...services, services: [{ ...service, changedSecrets: ['KEY', 'TOKEN'] }] }),
    /^warning secrets: blog was started with another value of KEY, TOKEN than config\.toml has now/,
    /^mypaas server restart blog$/,
  ],
  'keys that others can write': [
    judgeFiles([{ path: '/root/_mypaas/authorized_keys', mode: 0o666, allowed: 0o600 }]),
    /^problem files: Others can write \/root\/_mypaas\/authorized_keys \(mode 666\)/,
    /^chmod 600 \/root\/_mypaas\/authorized_keys$/,
  ],
  'a router that is down': [
    judgeRouter({ ...router, state: 'exited' }),
    /^problem router: The router \(container traefik\) is exited: nobody is served/,
    /^mypaas server reconcile$/,
  ],
  'a route that is refused': [
    judgeRouter({ ...router, problems: [{ kind: 'refused', route: 'blog~0@file', why: 'no such service' }] }),
    /^problem router: The router refuses the route blog~0@file: no such service/,
    /reconcile/,
  ],
  'a router that was cut from a network': [
    judgeRouter({ ...router, trouble: { kind: 'cut', networks: ['mypaas-gate'] } }),
    /^problem router: The router \(container traefik\) was cut from mypaas-gate: nobody is served/,
    /^mypaas server reconcile$/,
  ],
  'what a killed replacement of the router left': [
    judgeRouter({ ...router, trouble: { kind: 'leftovers', names: ['traefik-before'] } }),
    /^warning router: traefik-before: left by a replacement/,
    /^mypaas server reconcile$/,
  ],
  'a port that something else has': [
    judgeRouter({ ...router, ports: [{ port: 443, answers: false }] }),
    /^problem ports: The router does not answer on port 443/,
    /ss -ltnp/,
  ],
  'a daemon that does not run': [
    judgeDaemon({ ...daemon, runs: false }),
    /^problem daemon: The daemon does not run/,
    /mypaas server daemon/,
  ],
  'a daemon from before an upgrade': [
    judgeDaemon({ ...daemon, outdated: true }),
    /^warning daemon: mypaas was installed anew since the daemon was started/,
    /^mypaas server upgrade$/,
  ],
  'a firewall between router and daemon': [
    judgeDaemon({ ...daemon, byRouter: 504 }),
    /^problem firewall: The router does not reach the daemon on 172\.20\.0\.1:8083/,
    /^ufw allow in on br-abc to any port 8083 proto tcp/,
  ],
  'a certificate that was not renewed': [
    judgeCertificates([name], new Date('2026-06-25T00:00:00Z')),
    /^warning certificates: The certificate of example\.com expires on 2026-07-19 00:00 UTC and should have been renewed/,
    /mypaas server certs/,
  ],
  'a certificate that has expired': [
    judgeCertificates([name], new Date('2026-07-20T00:00:00Z')),
    /^problem certificates: The certificate of example\.com has expired/,
    /mypaas server certs/,
  ],
  'an own certificate that nobody renews': [
    judgeCertificates(
      [{ host: 'a.test', state: 'trusted', source: 'own', certificate }],
      new Date('2026-07-12T00:00:00Z'),
    ),
    /^problem certificates: The certificate of a\.test expires on 2026-07-19|^warning certificates: The certificate of a\.test expires/,
    /mypaas server init/,
  ],
  'a name that leads elsewhere': [
    judgeCertificates(
      [{ host: 'b.test', state: 'blocked', source: 'authority', problem: 'it has no DNS record', hint: 'Set it' }],
      now,
    ),
    /^problem dns: https:\/\/b\.test gets no certificate yet: it has no DNS record/,
    /^Set it$/,
  ],
  'replicas that do not run': [
    judgeServices({ ...services, services: [{ ...service, running: 0, problem: '1 of 1 replicas do not run' }] }),
    /^problem services: blog: 1 of 1 replicas do not run/,
    /^mypaas server reconcile blog$/,
  ],
  'a replica that does not stay up': [
    judgeServices({
      ...services,
      services: [{ ...service, replicas: [{ ...(service.replicas[0] as ServiceStatus['replicas'][0]), restarts: 9 }] }],
    }),
    /^problem restarts: blog-r7-1 does not stay up: it was started again 9 times/,
    /mypaas server logs blog/,
  ],
  'a replica that a reboot would end': [
    judgeServices({ ...services, unarmed: ['blog-r7-1'] }),
    /^problem services: blog-r7-1 serves, but would not come back after a reboot/,
    /reconcile/,
  ],
  'a log that is not rotated': [
    judgeServices({ ...services, logs: [{ container: 'blog-r7-1', bytes: 5 * gib }] }),
    /^warning logs: The log of blog-r7-1 has 5\.0 GiB/,
    /restart/,
  ],
  'a container of nobody': [
    judgeServices({ ...services, containers: [{ id: 'x', name: 'old-r1-1', state: 'exited', role: undefined }] }),
    /^warning leftovers: The container old-r1-1 \(exited\) belongs to no service here/,
    /^docker rm -fv old-r1-1$/,
  ],
  'an image of nobody': [
    judgeServices({ ...services, images: ['old:r1'] }),
    /^warning leftovers: The image old:r1 is of a service that is gone/,
    /^docker rmi old:r1$/,
  ],
  'an anonymous volume of no container': [
    judgeVolumes([{ name: 'ab'.repeat(32), createdAt: '2026-05-01T10:00:00Z', sizeBytes: 5 * 1024 ** 2 }]),
    /^warning leftovers: The anonymous volume abababababab \(5\.0 MiB, of 2026-05-01\) is of no container any more/,
    /^docker volume rm (ab){32}$/,
  ],
}

for (const [what, [findings, says, mends]] of Object.entries(broken)) {
  test(`${what}: named, with what mends it`, () => {
    assert.equal(findings.length, 1, JSON.stringify(findings))
    const [{ level, check, message, mend } = { level: '', check: '', message: '', mend: '' }] = findings
    assert.match(`${level} ${check}: ${message}`, says)
    assert.match(mend, mends)
  })
}

test('of many anonymous volumes the largest are named, and nobody removes one unasked', () => {
  const lost = Array.from({ length: 25 }, (_, index) => ({
    name: `${index}`.padStart(64, '0'),
    createdAt: undefined,
    sizeBytes: index < 24 ? 1024 : undefined,
  }))
  const findings = judgeVolumes(lost)
  assert.equal(findings.length, 21)
  assert.match(findings.at(-1)?.message ?? '', /^And 5 more anonymous volumes .* \(4\.0 KiB\)/)
  assert.ok(findings.every(({ fix }) => fix === undefined))
})

test('a container that runs is never removed unasked: it may be somebody at work', () => {
  const container = { id: 'x', name: 'blog-run-1', role: 'run' }
  const of = (state: string) => judgeServices({ ...services, containers: [{ ...container, state }] })[0]?.fix?.kind
  assert.deepEqual([of('running'), of('exited'), of('created')], [undefined, 'remove-container', 'remove-container'])
})

test('an authority whose certificates live for days has theirs looked at by hours', () => {
  const short = { ...certificate, notBefore: '2026-06-01T00:00:00Z', notAfter: '2026-06-07T00:00:00Z' }
  const report: NameReport = { ...name, certificate: short, renewAt: '2026-06-05T00:00:00Z' }
  const at = (days: number) =>
    judgeCertificates([report], new Date(now.getTime() + days * day)).map(({ level }) => level)
  assert.deepEqual([at(1), at(5), at(5.6), at(6.5)], [[], [], ['problem'], ['problem']])
})
