/** What a program pays that only asks an engine once whether it is there. */
import { Docker } from '../../../src/docker/index.ts'

const [socketPath = ''] = process.argv.slice(2)
await using docker = new Docker({ host: `unix://${socketPath}` })
await docker.system.ping()
console.log('{}')
