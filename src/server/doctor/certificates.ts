import { describeTrouble } from '../../deploy/certificates.ts'
import type { NameReport } from '../../router/certificates.ts'
import type { Finding } from './finding.ts'

/** Each https name by how it stands with its certificate, and each name by where it leads. */
export function judgeCertificates(reports: readonly NameReport[], now: Date): readonly Finding[] {
  return reports.flatMap((report): readonly Finding[] => {
    const trouble = describeTrouble(report)
    if (trouble) {
      const check = report.state === 'blocked' ? 'dns' : 'certificates'
      const level = report.state === 'waiting' ? 'warning' : 'problem'
      return [{ check, level, message: trouble.message, mend: trouble.hint ?? 'mypaas server certs' }]
    }
    const { certificate, renewAt, host, source } = report
    if (!certificate) return []
    const left = new Date(certificate.notAfter).getTime() - now.getTime()
    const life = new Date(certificate.notAfter).getTime() - new Date(certificate.notBefore).getTime()
    // The router tries at the latest a day after it should; an own one has nobody who does.
    const overdue =
      renewAt !== undefined && now.getTime() - new Date(renewAt).getTime() > Math.min(86_400_000 * 2, life / 4)
    const soon = source === 'own' && left < Math.min(14 * 86_400_000, life / 3)
    if (left > 0 && !overdue && !soon) return []
    const when = certificate.notAfter.slice(0, 16).replace('T', ' ')
    return [
      {
        check: 'certificates',
        level: left <= 0 || left < life / 10 ? 'problem' : 'warning',
        message:
          left <= 0
            ? `The certificate of ${host} has expired, on ${when} UTC.`
            : `The certificate of ${host} expires on ${when} UTC${overdue ? ` and should have been renewed by ${renewAt.slice(0, 16).replace('T', ' ')}` : ''}.`,
        mend:
          source === 'own'
            ? 'Put a new one into its files, then: mypaas server init'
            : 'See why it is not renewed: mypaas server certs; the router tries again when it starts: mypaas server restart router',
      },
    ]
  })
}
