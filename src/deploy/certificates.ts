import type { CertifyOptions, NameReport } from '../router/certificates.ts'
import type { Emit } from './events.ts'
import type { Host } from './host.ts'

/**
 * Sees to the certificates of all https names of this server (or of some): asks for those that lead here and have none,
 * notes those that came. Cheap where nothing is to be done. Each trouble is a `warning` that says what to set.
 */
export async function checkCertificates(
  host: Host,
  options: Partial<Omit<CertifyOptions, 'onAsked'>> & { emit: Emit },
): Promise<readonly NameReport[]> {
  const { emit, ...rest } = options
  const asked = new Map<string, number>()
  const reports = await host.router.certify({
    ...rest,
    onAsked: (name) => {
      asked.set(name, performance.now())
      emit({ type: 'certificate', name, state: 'asked' })
    },
  })
  for (const report of reports) {
    const begun = asked.get(report.host)
    if (begun !== undefined && (report.state === 'trusted' || report.state === 'untrusted')) {
      const ms = Math.round(performance.now() - begun)
      emit({ type: 'certificate', name: report.host, state: 'issued', issuer: report.certificate?.issuer ?? '', ms })
    }
    const trouble = describeTrouble(report)
    if (trouble) emit({ type: 'warning', ...trouble })
  }
  return reports
}

/** What is wrong with the certificate of a name, and what to do; nothing where all is well, or nobody asked for one. */
export function describeTrouble({
  host,
  state,
  problem,
  hint,
}: NameReport): { message: string; hint?: string } | undefined {
  const more = hint === undefined ? {} : { hint }
  switch (state) {
    case 'trusted':
    case 'untrusted':
      return undefined
    case 'none':
      return problem === undefined ? undefined : { message: `https://${host} has no certificate: ${problem}.`, ...more }
    case 'waiting':
      return { message: `https://${host} has no certificate yet: the authority is still at it.`, ...more }
    case 'blocked':
      return { message: `https://${host} gets no certificate yet: ${problem}.`, ...more }
    case 'refused':
      return { message: `https://${host} got no certificate: ${problem}.`, ...more }
  }
}
