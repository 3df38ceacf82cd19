import type { TestContext } from 'node:test'
import tls from 'node:tls'
import { compiledProgram } from './compiled.ts'
import { type Authority, authority } from './pebble.ts'
import { type World, world } from './world.ts'

/** A world whose certificates come from an authority of its own. */
export async function secured(
  t: TestContext,
  options: { lifetimeSeconds?: number; settings?: Readonly<Record<string, string>> } = {},
): Promise<{ w: World; ca: Authority }> {
  const w = await world(t, { program: await compiledProgram(t) })
  await w.init()
  const { lifetimeSeconds } = options
  const ca = await authority(t, {
    address: await gateway(w),
    httpPort: w.ports.http,
    httpsPort: w.ports.https,
    ...(lifetimeSeconds === undefined ? {} : { lifetimeSeconds }),
  })
  for (const [key, value] of Object.entries({ ...ca.settings, ...options.settings })) await w.set('router', key, value)
  await w.init()
  return { w, ca }
}

/** The address of this machine at which the world's router reaches it. */
export async function gateway(w: World): Promise<string> {
  const { IPAM } = await w.docker.networks.inspect(`${w.instance}-mypaas-edge`)
  const address = IPAM.Config?.[0]?.Gateway
  if (address) return address
  throw new Error(`${w.instance}-mypaas-edge has no gateway`)
}

/** What the router shows for a name, and whether it goes back to `root`. */
export function handshake(
  w: World,
  name: string,
  root: string,
): Promise<{ serial: string; names: string; trusted: boolean }> {
  return new Promise((resolve, reject) => {
    const socket = tls.connect({
      host: '127.0.0.1',
      port: w.ports.https,
      servername: name,
      ca: root,
      rejectUnauthorized: false,
    })
    socket.setTimeout(5_000, () => socket.destroy(new Error('no handshake within 5 s')))
    socket.once('error', reject)
    socket.once('secureConnect', () => {
      const { serialNumber, subjectaltname } = socket.getPeerCertificate()
      resolve({ serial: serialNumber, names: subjectaltname ?? '', trusted: socket.authorized })
      socket.destroy()
    })
  })
}
