/** An engine that only reads: takes what it is sent, says that it built something. Serves until its input ends. */
import { createServer } from 'node:http'

const [socketPath = ''] = process.argv.slice(2)
const image = `sha256:${'0'.repeat(64)}`

const server = createServer((request, response) => {
  const headers = { 'Api-Version': '1.41', 'Docker-Experimental': 'false', Ostype: 'linux', 'Builder-Version': '2' }
  request.on('data', () => {})
  request.on('end', () => {
    response.writeHead(200, { ...headers, 'Content-Type': 'application/json' })
    if (request.url?.includes('/_ping')) response.end('OK')
    else if (request.url?.includes('/build'))
      response.end(`{"id":"moby.image.id","aux":{"ID":"${image}"}}\n{"aux":{"ID":"${image}"}}\n`)
    else response.end('{}')
  })
})
server.listen(socketPath, () => console.log('ready'))
process.stdin.resume().on('end', () => process.exit())
