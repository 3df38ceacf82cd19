import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import type { IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import { test } from 'node:test'
import { Docker } from '../../src/docker/index.ts'
import { type Answer, describe, fakeEngine, type Received } from './fake-engine.ts'
import { moreCalls, type Operation, operations } from './operations.ts'

// The operation ids of Engine API 1.56, as its definition lists them.
const operationIds = `
  ContainerList ContainerCreate ContainerInspect ContainerTop ContainerLogs ContainerChanges ContainerExport
  ContainerStats ContainerResize ContainerStart ContainerStop ContainerRestart ContainerKill ContainerUpdate
  ContainerRename ContainerPause ContainerUnpause ContainerAttach ContainerAttachWebsocket ContainerWait ContainerDelete
  ContainerArchiveInfo ContainerArchive PutContainerArchive ContainerPrune ImageList ImageBuild BuildPrune ImageCreate
  ImageInspect ImageAttestations ImageHistory ImagePush ImageTag ImageDelete ImageSearch ImagePrune SystemAuth
  SystemInfo SystemVersion SystemPing SystemPingHead ImageCommit SystemEvents SystemDataUsage ImageGet ImageGetAll
  ImageLoad ContainerExec ExecStart ExecResize ExecInspect VolumeList VolumeCreate VolumeInspect VolumeUpdate
  VolumeDelete VolumePrune NetworkList NetworkInspect NetworkDelete NetworkCreate NetworkConnect NetworkDisconnect
  NetworkPrune PluginList GetPluginPrivileges PluginPull PluginInspect PluginDelete PluginEnable PluginDisable
  PluginUpgrade PluginCreate PluginPush PluginSet NodeList NodeInspect NodeDelete NodeUpdate SwarmInspect SwarmInit
  SwarmJoin SwarmLeave SwarmUpdate SwarmUnlockkey SwarmUnlock ServiceList ServiceCreate ServiceInspect ServiceDelete
  ServiceUpdate ServiceLogs TaskList TaskInspect TaskLogs SecretList SecretCreate SecretInspect SecretDelete
  SecretUpdate ConfigList ConfigCreate ConfigInspect ConfigDelete ConfigUpdate DistributionInspect Session`
  .trim()
  .split(/\s+/)

/** Conveniences over several calls; tests of their own call them. */
const composed = ['containers.exec', 'images.hasLogin']

/** `containers.list`, …, as the tests below call them. */
const called = new Set<string>()

test('each of the 108 operations of the API has a call here, and nothing else has', () => {
  assert.equal(operationIds.length, 108)
  assert.deepEqual(Object.keys(operations).sort(), [...operationIds].sort())
})

for (const [name, operation] of [...Object.entries(operations), ...Object.entries(moreCalls)]) {
  test(`${name} sends what the API asks for, and gives what the engine answers`, async (t) => {
    const { server, docker, requests, pings } = await fakeEngine(t, () => answerOf(operation))
    server.on('upgrade', (incoming, socket, head) => void upgrade(incoming, socket, head, operation, requests))

    const given = await operation.call(recording(docker))

    const [method, path, { query = {}, json, body = '', headers = {} } = {}] = operation.request
    const received = path === '/_ping' ? pings.at(-1) : requests[0]
    assert.deepEqual(show(received as Received), {
      method,
      path: path === '/_ping' ? path : `/v1.56${path}`,
      query,
      body: json === undefined ? body : json,
      headers: { ...(json === undefined ? {} : { 'content-type': 'application/json' }), ...headers },
    })
    assert.ok(requests.length <= 1, 'one call, one request')
    assert.deepEqual(given, operation.gives)
  })
}

test('each method of the client is called by one of these tests', () => {
  const docker = new Docker()
  const methods = Object.entries(docker).flatMap(([group, object]) =>
    Object.getOwnPropertyNames(Object.getPrototypeOf(object))
      .filter((name) => name !== 'constructor')
      .map((name) => `${group}.${name}`),
  )
  assert.ok(methods.length >= 105)
  assert.deepEqual(
    methods.filter((method) => !called.has(method)),
    composed,
  )
})

/** The client, with a note of each method that is called. */
function recording(docker: Docker): Docker {
  return new Proxy(docker, {
    get(_, group: string) {
      const object = docker[group as 'containers'] as unknown as Record<string, (...args: unknown[]) => unknown>
      return new Proxy(object, {
        get(_, name: string) {
          called.add(`${group}.${name}`)
          return (...args: unknown[]) => object[name]?.(...args)
        },
      })
    },
  })
}

function answerOf({ answer }: Operation): Answer {
  return answer === undefined || 'upgrade' in answer ? { status: 204 } : answer
}

async function upgrade(
  incoming: IncomingMessage,
  socket: Duplex,
  head: Buffer,
  { answer }: Operation,
  requests: Received[],
): Promise<void> {
  if (!answer || !('upgrade' in answer)) throw new Error('This call is not to switch protocols.')
  requests.push(describe(incoming, await upgradeBody(incoming, socket, head)))
  const key = incoming.headers['sec-websocket-key']
  const accept = createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64')
  socket.write('HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.raw-stream\r\n')
  if (key) socket.write(`Sec-WebSocket-Accept: ${accept}\r\n`)
  socket.write(`Connection: Upgrade\r\nUpgrade: ${answer.upgrade}\r\n\r\n`)
  socket.end(answer.output)
}

/** The body of a request that asks for an upgrade, which node:http leaves to its user. */
async function upgradeBody(incoming: IncomingMessage, socket: Duplex, head: Buffer): Promise<Buffer> {
  let bytes = head
  while (bytes.length < Number(incoming.headers['content-length'] ?? 0)) {
    bytes = Buffer.concat([bytes, (await once(socket, 'data'))[0] as Buffer])
  }
  return bytes
}

/** A request in the form in which the table has it. */
function show({ method, path, query, headers, body }: Received) {
  const told = /^(content-type|connection|upgrade|sec-websocket-version|x-registry-.*|x-docker-.*)$/
  const isJson = headers['content-type'] === 'application/json'
  return {
    method,
    path,
    query,
    body: isJson ? JSON.parse(body.toString()) : body.toString(),
    headers: Object.fromEntries(Object.entries(headers).filter(([name]) => told.test(name))),
  }
}
