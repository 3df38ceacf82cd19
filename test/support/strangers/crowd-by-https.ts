// Strangers that come by the router, in a process of their own, so that an honest client waits for nothing but the server.
// node crowd-by-https.ts '{"strangers":300,"target":{"host":"localhost","port":443,"base":"/daemon"},"host":"…","key":"ssh-ed25519 …","ca":"…"}'
// Each second it prints what was answered so far.
import https from 'node:https'
import { type CrowdOptions, crowd } from './crowd.ts'

const { ca, ...options } = JSON.parse(process.argv[2] ?? '{}') as Omit<CrowdOptions, 'agent'> & { ca: string }
const { answers } = crowd({ after: () => {} }, { ...options, agent: new https.Agent({ ca, keepAlive: true }) })
setInterval(() => console.log(JSON.stringify(answers)), 1000)
process.stdin.resume().on('end', () => process.exit())
