import { gatewayOf } from '../router/router-files.ts'
import { holderOfPort } from './daemon-port.ts'
import { type OpenServer, routerContainer } from './host.ts'

/** That somebody else has the daemon's port on the router's network, in a sentence; `undefined` where that is not so. */
export async function daemonPortTrouble({ host, config, identity }: OpenServer): Promise<string | undefined> {
  const { domain, daemonPort } = config.server
  if (domain === '') return undefined
  const gateway = await gatewayOf(host.docker, routerContainer(host.directory, config, identity).networks.edge)
  if (gateway === undefined || (await holderOfPort(host.directory, gateway, daemonPort)) !== 'other') return undefined
  return `Somebody else listens on ${gateway}:${daemonPort}, where the daemon is to: nobody can push by https. See mypaas server doctor`
}
