import type { CommandDef } from 'citty'
import { commitOf } from '../../../src/context/commit.ts'
import type { Preview } from '../../../src/deploy/preview.ts'
import { command } from '../../command.ts'
import { openContext, rootOf } from '../../context.ts'
import { operate, operateArgs } from '../../operate.ts'
import { planLines, print, printJson } from '../../render.ts'

const args = {
  dir: { type: 'positional', required: true, description: 'The directory, or a Dockerfile in it' },
  plan: { type: 'boolean', description: 'Show what would be done and change nothing' },
  'if-plan': { type: 'string', valueHint: 'ID', description: 'Deploy only if this is still the plan' },
  ...operateArgs,
} as const

export const deploy: CommandDef = command({
  args,
  async run({ args }) {
    await operate(args, async ({ server, emit, signal, waitMs, who }) => {
      const context = await openContext(args.dir ?? '.', signal)
      if (args.plan) {
        const { previewDeploy } = await import('../../../src/deploy/preview.ts')
        const preview = await previewDeploy(server.host, context.dockerfileText)
        showPreview(preview, { json: args.json === true, deploy: `mypaas server deploy ${args.dir} --if-plan` })
        return
      }
      for (const message of context.warnings) emit({ type: 'warning', message })
      const { deploy } = await import('../../../src/deploy/deploy.ts')
      const commit = await commitOf(await rootOf(args.dir), signal)
      await deploy(server.host, context, { emit, signal, waitMs, who, from: args.dir, commit, ifPlan: args['if-plan'] })
    })
  },
})

/** @param options.deploy the command that does just this, but for the plan's id */
export function showPreview(preview: Preview, options: { json: boolean; deploy?: string }): void {
  if (options.json) {
    printJson(preview)
    return
  }
  const { plan, changes, changedSecrets, warnings } = preview
  for (const line of planLines(plan)) print(line)
  for (const line of changes) print(`  ${line}`)
  if (changedSecrets.length > 0) print(`  ~ the values of ${changedSecrets.join(', ')}`)
  for (const warning of warnings) print(`  ! ${warning}`)
  print(`Nothing was changed.${options.deploy ? ` To do just this: ${options.deploy} ${plan.id}` : ''}`)
}
