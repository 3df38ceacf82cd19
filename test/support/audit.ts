import { readFile } from 'node:fs/promises'
import { join } from 'node:path'

/** What keys of a server did and what strangers were refused, in the order in which it happened. */
export async function auditLines(directory: string): Promise<Record<string, string>[]> {
  const files = ['audit.log', 'refused.log'].map((file) => readFile(join(directory, file), 'utf8').catch(() => ''))
  return (await Promise.all(files))
    .flatMap((text) => text.split('\n'))
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Record<string, string>)
    .sort((one, two) => (one['at'] === two['at'] ? 0 : (one['at'] as string) < (two['at'] as string) ? -1 : 1))
}
