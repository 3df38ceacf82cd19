import type { Docker } from '../docker/index.ts'
import { MypaasError } from '../errors.ts'

/** What is asked of an engine before a server is made on it. */
export type EngineFacts = Readonly<{
  /** How it is reached. */
  kind: 'unix' | 'tcp' | 'ssh'
  apiVersion: string
  os: string
  /** `name=rootless`, `name=apparmor`, … */
  securityOptions: readonly string[]
  /** `Engine`, `Podman Engine`, … */
  components: readonly string[]
}>

const elsewhere = {
  message:
    'The Docker engine is on another machine: a server makes the directories of its services on its own machine, and sees there whether their connections have ended.',
  hint: 'Run this on that machine, or unset DOCKER_HOST and DOCKER_CONTEXT.',
}

const oldestApi = '1.41'

/** Refuses an engine on which the promises could not be kept. @throws {MypaasError} `usage` with the reason */
export async function refuseUnfitEngine(docker: Docker): Promise<void> {
  const { kind } = await docker.endpoint()
  if (kind !== 'unix') throw new MypaasError(elsewhere.message, { code: 'usage', hint: elsewhere.hint })
  const [version, info] = await Promise.all([docker.system.version(), docker.system.info()])
  const reason = unfit({
    kind,
    apiVersion: version.ApiVersion,
    os: version.Os,
    securityOptions: info.SecurityOptions ?? [],
    components: (version.Components ?? []).map(({ Name }) => Name),
  })
  if (reason) throw new MypaasError(reason.message, { code: 'usage', hint: reason.hint })
}

/** Why no server can be made on such an engine; nothing when one can. */
export function unfit(facts: EngineFacts): { message: string; hint: string } | undefined {
  const install = 'Install Docker Engine on this machine: https://docs.docker.com/engine/install/'
  if (facts.kind !== 'unix') return elsewhere
  if (facts.components.some((name) => name.startsWith('Podman'))) {
    return {
      message:
        'This is Podman, which has no daemon: its containers do not come back after a reboot, and it runs one build of an image at a time differently from Docker.',
      hint: install,
    }
  }
  if (facts.securityOptions.some((option) => option.startsWith('name=rootless'))) {
    return {
      message:
        'This Docker engine is rootless: its containers have addresses that this machine does not reach, services would see the router as every visitor, and ports below 1024 are not for it.',
      hint: `${install}, or point DOCKER_HOST at the engine that runs as root: unix:///var/run/docker.sock`,
    }
  }
  if (facts.os !== 'linux') {
    return { message: `This Docker engine runs ${facts.os} containers; services are for Linux.`, hint: install }
  }
  if (isOlder(facts.apiVersion, oldestApi)) {
    return {
      message: `This Docker engine speaks API ${facts.apiVersion}; ${oldestApi} is needed (Docker 20.10 of December 2020).`,
      hint: install,
    }
  }
  return undefined
}

function isOlder(version: string, than: string): boolean {
  const [a = 0, b = 0] = version.split('.').map(Number)
  const [c = 0, d = 0] = than.split('.').map(Number)
  return a < c || (a === c && b < d)
}
