import type { RouterProblem } from '../../router/health.ts'
import type { Finding } from './finding.ts'

/** What is known of the router. */
export type RouterFacts = Readonly<{
  container: string
  /** `running`, `exited`, …; `missing` when there is none. */
  state: string
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
