import type { Commit } from '../context/commit.ts'
import type { Context } from '../context/index.ts'
import { dockerfileWarnings } from '../service/warnings.ts'
import type { Host } from './host.ts'
import { buildImage } from './image.ts'
import { checkMounts } from './mounts.ts'
import { lockService } from './operate.ts'
import { type Released, type ReleaseOptions, rollOut } from './release.ts'
import { specForHere } from './reserved.ts'
import { environmentOf } from './secret-rights.ts'

/**
 * Builds a context and makes it the current release of its service. Done when the release answers on each of its URLs
 * and the one before it is gone.
 * @param options.from What the context is, for the history: a directory.
 * @param options.commit The commit that it is of, for the history, too.
 * @throws {DirectiveError} when the Dockerfile's `# mypaas.` lines are wrong: nothing was touched
 * @throws {MypaasError} `locked` when a deploy of the service is on · `failed` when the old release serves as before ·
 *   `rolled-back` when the new one had traffic already · `degraded` when a person is needed
 */
export async function deploy(
  host: Host,
  context: Context,
  options: ReleaseOptions & { from?: string; commit?: Commit | undefined },
): Promise<Released> {
  const spec = await specForHere(host, context.dockerfileText, context.dockerfile)
  // What somebody deploys anew may have what they may give.
  const rights = { secretsFrom: host.secretsFrom }
  // What can't be deployed is told before anything is waited for or touched; under the lock it is looked at again.
  environmentOf(host, spec, rights)
  await checkMounts(host, spec, { from: context })
  for (const message of dockerfileWarnings(context.dockerfileText, context.dockerfile))
    options.emit({ type: 'warning', message })
  await using _ = await lockService(host, spec.service, `a deploy of ${spec.service}`, options)
  // Awaited here: leaving the scope frees the lock.
  return await rollOut(
    host,
    {
      action: 'deploy',
      spec,
      from: options.from ?? 'a directory',
      commit: options.commit,
      rights,
      dockerfile: context,
      provide: (release, onEvent, signal) => buildImage(host, { context, spec, release, onEvent, signal }),
    },
    options,
  )
}
