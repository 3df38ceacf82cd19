import type { CommandDef } from 'citty'
import { command } from '../../command.ts'
import { green, print, printJson, red, styled, yellow } from '../../output.ts'

export const doctor: CommandDef = command({
  args: {
    fix: { type: 'boolean', description: 'Mend what is safe to mend, then look again' },
    json: { type: 'boolean', description: 'Print the findings as JSON' },
  },
  async run({ args }) {
    const { examine } = await import('../../../src/server/doctor/doctor.ts')
    const { findings, fixed } = await examine({ fix: args.fix === true })
    if (args.json) printJson({ findings, fixed })
    else {
      for (const line of fixed) print(styled`${green('mended')}  ${line}`)
      for (const { check, level, message, mend } of findings) {
        print(styled`${level === 'problem' ? red('✗') : yellow('!')} ${check}: ${message}`)
        print(`  ${mend}`)
      }
      if (findings.length === 0) print(styled`${green('✓')} Nothing is wrong.`)
      else if (!args.fix && findings.some(({ fix }) => fix)) print('What is safe to mend: mypaas server doctor --fix')
    }
    if (findings.some(({ level }) => level === 'problem')) return 6
    return findings.length > 0 ? 1 : 0
  },
})
