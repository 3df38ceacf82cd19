import type { RouterTrouble } from '../../router/care.ts'
import type { RouterProblem } from '../../router/health.ts'
import type { Finding } from './finding.ts'

/** What is known of the router. */
export type RouterFacts = Readonly<{
  container: string
  /** `running`, `exited`, …; `missing` when there is none. */
  state: string
  /** Of its container, whatever it runs. */
  trouble: RouterTrouble | undefined
  problems: readonly RouterProblem[]
  /** The public ports, and whether the router answers on them from this machine. */
  ports: readonly Readonly<{ port: number; answers: boolean }>[]
}>

export function judgeRouter(facts: RouterFacts): readonly Finding[] {
  const { container, state } = facts
  if (state !== 'running') {
    return [
      {
        check: 'router',
        level: 'problem',
        message: `The router (container ${container}) is ${state}: nobody is served.`,
        mend: 'mypaas server reconcile',
        fix: { kind: 'router' },
      },
    ]
  }
  const troubled = facts.trouble ? judgeTrouble(facts.trouble, container) : undefined
  if (troubled) return [troubled]
  const findings = facts.problems.map((problem) => judgeProblem(problem, container))
  for (const { port, answers } of facts.ports) {
    if (answers) continue
    findings.push({
      check: 'ports',
      level: 'problem',
      message: `The router does not answer on port ${port} of this machine.`,
      mend: `See who does: ss -ltnp 'sport = :${port}'; then: mypaas server restart router`,
    })
  }
  return findings
}

function judgeTrouble(trouble: RouterTrouble, container: string): Finding | undefined {
  const mends = { check: 'router', mend: 'mypaas server reconcile', fix: { kind: 'router' } } as const
  switch (trouble.kind) {
    case 'cut':
      return {
        ...mends,
        level: 'problem',
        message: `The router (container ${container}) was cut from ${trouble.networks.join(' and ')}: nobody is served.`,
      }
    case 'silent':
      return { ...mends, level: 'problem', message: `The router (container ${container}) runs, and does not answer.` }
    case 'leftovers': {
      const names = trouble.names.join(', ')
      return { ...mends, level: 'warning', message: `${names}: left by a replacement of the router that was killed.` }
    }
    case 'missing':
    case 'down':
    case 'paused':
      return undefined
    default:
      return trouble satisfies never
  }
}

function judgeProblem(problem: RouterProblem, container: string): Finding {
  switch (problem.kind) {
    case 'silent':
      return {
        check: 'router',
        level: 'problem',
        message: `The router runs, but does not tell what it does: ${problem.why}.`,
        mend: 'mypaas server restart router',
      }
    case 'refused':
      return {
        check: 'router',
        level: 'problem',
        message: `The router refuses the route ${problem.route}: ${problem.why}.`,
        mend: 'mypaas server reconcile',
      }
    case 'stale':
      return {
        check: 'router',
        level: 'problem',
        message: `The router has not taken ${problem.file}.`,
        mend: `mypaas server reconcile; if that fails: docker logs --tail 20 ${container}`,
      }
    case 'foreign':
      return {
        check: 'router',
        level: 'problem',
        message: `${problem.file} is not of mypaas; while the router can't read it, it takes no change of any service.`,
        mend: `Move it away: mv ${problem.file} ~/`,
      }
  }
}
