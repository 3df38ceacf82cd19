import { readFile } from 'node:fs/promises'
import { nodeImage } from './images.ts'
import { type RawAnswer, rawRequest } from './raw-request.ts'
import type { World } from './world.ts'

/** What a service that echoes was asked, as it came over the wire. */
export type Seen = Readonly<{ service: string; method: string; url: string; headers: readonly string[] }>

/** Deploys a service that answers with what it was asked. @returns what the deploy said */
export async function deployEcho(w: World, name: string, urls: readonly string[]): Promise<string> {
  const lines = [`# mypaas.service = ${name}`, '# mypaas.scale = 1', ...urls.map((url) => `# mypaas.url = ${url}`)]
  const build = [`FROM ${await nodeImage(w.docker)}`, 'COPY echo.mjs ./', 'CMD ["node", "echo.mjs"]', '']
  const program = await readFile(new URL('app/echo.mjs', import.meta.url))
  const dockerfile = [...lines, ...build].join('\n')
  return (await w.deploy(await w.service(name, { dockerfile, files: { 'echo.mjs': program } }))).output
}

/** Asks such a service by the router, as the request is written. */
export async function askEcho(
  w: World,
  url: string,
  options: Readonly<{ path?: string; lines?: readonly string[]; method?: string }> = {},
): Promise<RawAnswer & { seen: Seen | undefined }> {
  const { protocol, hostname: host, pathname } = new URL(url)
  const secure = protocol === 'https:'
  const port = secure ? w.ports.https : w.ports.http
  const answer = await rawRequest(port, { host, secure, path: pathname, ...options })
  return { ...answer, seen: seenIn(answer) }
}

/** The value of a header that a service saw; `undefined` without it. */
export function header(seen: Seen | undefined, name: string): string | undefined {
  const at =
    seen?.headers.findIndex((text, index) => index % 2 === 0 && text.toLowerCase() === name.toLowerCase()) ?? -1
  return at < 0 ? undefined : seen?.headers[at + 1]
}

function seenIn({ status, head, body }: RawAnswer): Seen | undefined {
  const text = status === 101 ? /^x-seen: (.*)$/im.exec(head)?.[1] : body
  return text?.startsWith('{') ? (JSON.parse(text) as Seen) : undefined
}
