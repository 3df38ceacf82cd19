import type { Finding } from './finding.ts'

/** What is known of the daemon and the way to it. */
export type DaemonFacts = Readonly<{
  /** The host at which pushes come in; empty for none. */
  domain: string
  /** Answers on its socket. */
  runs: boolean
  /** Was started before mypaas was installed last. */
  outdated: boolean
  /** Answers on the address that the router uses, to this machine. */
  address: string | undefined
  listens: boolean
  /** Who has that address in its place, and how to end that. */
  taken?: Readonly<{ what: string; mend: string }> | undefined
  /** What the router answers for it: a status, or `undefined` for no answer. */
  byRouter: number | undefined
  /** The interface of the router's network, for firewall rules. */
  bridge: string
}>

/** @param router Whether the router runs: without it nothing is to be told of the way through it. */
export function judgeDaemon(facts: DaemonFacts, router: { served: boolean } = { served: true }): readonly Finding[] {
  const { domain, runs, outdated, address, taken } = facts
  const stranger: readonly Finding[] =
    domain !== '' && taken
      ? [
          {
            check: 'daemon',
            level: 'problem',
            message: `Where the daemon is to listen for the router, ${address}, ${taken.what}: nobody can push by https.`,
            mend: `${taken.mend}; or set another daemon_port in [server] of config.toml, then: mypaas server init`,
          },
        ]
      : []
  if (!runs) {
    return [
      ...stranger,
      {
        check: 'daemon',
        level: domain === '' ? 'warning' : 'problem',
        message: 'The daemon does not run: nothing can be pushed, and nothing is looked after when something ends.',
        mend: 'mypaas server restart daemon; without systemd: mypaas server daemon',
      },
    ]
  }
  const old: readonly Finding[] = outdated
    ? [
        {
          check: 'daemon',
          level: 'warning',
          message: 'mypaas was installed anew since the daemon was started: it is still the old one.',
          mend: 'mypaas server upgrade',
        },
      ]
    : []
  return [...old, ...(stranger.length > 0 ? stranger : judgeWay(facts, router))]
}

function judgeWay(facts: DaemonFacts, router: { served: boolean }): readonly Finding[] {
  const { domain, address, listens, byRouter, bridge } = facts
  if (domain === '' || address === undefined) return []
  if (!listens) {
    return [
      {
        check: 'daemon',
        level: 'problem',
        message: `The daemon runs, but does not listen on ${address} for the router.`,
        mend: 'See why in its log: journalctl -u mypaas; another port: daemon_port in [server] of config.toml',
      },
    ]
  }
  if (!router.served || (byRouter !== undefined && byRouter < 500)) return []
  const port = address.split(':').at(-1)
  return [
    {
      check: 'firewall',
      level: 'problem',
      message: `The router does not reach the daemon on ${address}: a firewall of this machine is between them.`,
      mend: `ufw allow in on ${bridge} to any port ${port} proto tcp; without ufw: iptables -I INPUT -i ${bridge} -p tcp --dport ${port} -j ACCEPT`,
    },
  ]
}
