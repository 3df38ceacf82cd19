import type { ContainerConfig, PortBinding } from '../docker/types/container.ts'
import { containerName, imageReference, networkAliases } from '../service/names.ts'
import type { Mount, ServiceSpec } from '../service/spec.ts'
import { formatOptions } from '../service/volume.ts'
import { identityLabels } from './identity.ts'
import type { ShellForm } from './shell-form.ts'

/** What a container is made from, besides the spec. */
export type ContainerInput = Readonly<{
  spec: ServiceSpec
  release: number
  replica: number
  server: string
  /** Of the labels that say which replica it is. */
  markKey: string
  prefix: string
  network: string
  home: string
  /** `NAME:r7`: what `docker ps` shows. */
  image: string
  /** The image starts an init of its own (tini, s6 …), so the engine need not add one. */
  bringsInit: boolean
  /** Its command, where a shell runs that. */
  shellForm: ShellForm | undefined
  /** Of a service that says none: between asking a container to stop and killing it. */
  graceMs: number
  /** The service's own variables, secrets sampled. */
  environment: readonly string[]
  logBytes: number
  hardening: Hardening
}>

/** What a container may not do, so that a hole in a service is no hole in the machine. */
export type Hardening = Readonly<{
  /** A program can't get more rights than it was started with: no sudo, no setuid. */
  noNewPrivileges: boolean
  /**
   * The capabilities that root has in it; `undefined` for those that Docker gives. Those of {@link usualCapabilities}
   * are what official images need to hand themselves over to another user and to listen on a low port.
   */
  capabilities: readonly string[] | undefined
  /** Processes and threads; 0 for any number. */
  pids: number
}>

export const usualCapabilities: readonly string[] = [
  'CHOWN',
  'DAC_OVERRIDE',
  'FOWNER',
  'KILL',
  'NET_BIND_SERVICE',
  'SETGID',
  'SETUID',
]

/** A spec → the Engine's create body. Disarmed: it comes to life when the deploy starts it, and only then. */
export function containerConfig(input: ContainerInput): ContainerConfig {
  const { spec } = input
  const name = `${input.prefix}${containerName(spec.service, input.release, input.replica)}`
  const ports = publishedPorts(spec)
  const { entrypoint, cmd } = input.shellForm?.command ?? {}
  return {
    Image: input.image,
    ...(cmd ? { Cmd: [...cmd] } : {}),
    ...(entrypoint && entrypoint.length > 0 ? { Entrypoint: [...entrypoint] } : {}),
    Labels: identityLabels(input, { service: spec.service, release: input.release, replica: input.replica }),
    Env: [
      ...input.environment,
      `MYPAAS_SERVICE=${spec.service}`,
      `MYPAAS_SCALE=${spec.scale ?? 0}`,
      `MYPAAS_PORT=${spec.port}`,
      `MYPAAS_CONTAINER=${name}`,
      `MYPAAS_RELEASE=r${input.release}`,
    ],
    ExposedPorts: Object.fromEntries(Object.keys(ports).map((port) => [port, {}])),
    // Also for the engine, when it ends itself.
    StopTimeout: Math.ceil((spec.graceMs ?? input.graceMs) / 1000),
    HostConfig: {
      NetworkMode: input.network,
      RestartPolicy: { Name: 'no' },
      PortBindings: ports,
      Binds: spec.volumes.map((mount) => bind(mount, input.home)),
      // A process without signal handlers ignores SIGTERM as PID 1: 10 s until it is killed, instead of none.
      Init: !input.bringsInit,
      ...(input.hardening.capabilities ? { CapDrop: ['ALL'], CapAdd: [...input.hardening.capabilities] } : {}),
      ...(input.hardening.noNewPrivileges ? { SecurityOpt: ['no-new-privileges'] } : {}),
      ...(input.hardening.pids > 0 ? { PidsLimit: input.hardening.pids } : {}),
      LogConfig: { Type: 'json-file', Config: { 'max-size': String(input.logBytes), 'max-file': '3' } },
      ...(spec.maxCpu === undefined ? {} : { NanoCpus: Math.round(spec.maxCpu * 1e9) }),
      ...(spec.maxMemoryBytes === undefined ? {} : { Memory: spec.maxMemoryBytes }),
    },
    NetworkingConfig: { EndpointsConfig: { [input.network]: { Aliases: [...networkAliases(spec.service)] } } },
  }
}

/** `NAME:r7`, with the instance's prefix. */
export function imageName(prefix: string, service: string, release: number): string {
  return `${prefix}${imageReference(service, release)}`
}

/** How many containers a release has: non-scaling services have one. */
export function replicaCount(spec: ServiceSpec): number {
  return Math.max(1, spec.scale ?? 0)
}

/** True for images whose first process reaps and forwards signals already. */
export function bringsInit(entrypointAndCommand: readonly string[]): boolean {
  const first = entrypointAndCommand[0] ?? ''
  const program = first.split('/').at(-1) ?? ''
  return [
    'tini',
    'tini-static',
    'dumb-init',
    'catatonit',
    'docker-init',
    's6-svscan',
    'init',
    'systemd',
    'my_init',
  ].includes(program)
}

function publishedPorts(spec: ServiceSpec): Record<string, PortBinding[]> {
  const ports: Record<string, PortBinding[]> = {}
  for (const { hostIp, hostPort, hostPortEnd, containerPort, protocol } of spec.publish) {
    const key = `${containerPort}/${protocol}`
    ports[key] ??= []
    ports[key].push({
      HostIp: hostIp ?? '',
      HostPort: [hostPort, hostPortEnd].filter((port) => port !== undefined).join('-'),
    })
  }
  return ports
}

function bind(mount: Mount, home: string): string {
  const options = formatOptions(mount)
  switch (mount.kind) {
    case 'home':
      return `${home}/${mount.path}:${mount.target}${options}`
    case 'host':
      return `${mount.path}:${mount.target}${options}`
    case 'named':
      return `${mount.name}:${mount.target}${options}`
  }
}
