import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { lineNotUtf8 } from '../encoding.ts'
import { MypaasError } from '../errors.ts'
import { writeDurably } from '../files.ts'
import { takeLock } from '../lock.ts'
import { parseConfig, readConfigText, type ServerConfig } from './config.ts'

/**
 * Changes `config.toml`: reads it, and writes it back with one edit, while no other mypaas does the same. Whoever needs time
 * for something else (a pull, a person's answer) takes it before: what was written meanwhile stays.
 * @param edit The text → what it is to be; the same text changes nothing.
 * @returns what it says then
 * @throws {MypaasError} `usage` when it would be no config any more or is not UTF-8, `locked` after 5 s of waiting for another
 *   change, and what `edit` throws; the file is as it was then
 */
export async function changeConfig(
  directory: string,
  edit: (text: string, file: string) => string | Promise<string>,
): Promise<ServerConfig> {
  await using _ = await takeLock(join(directory, 'config.lock'), { what: 'a change of the config', waitMs: 5_000 })
  const file = join(directory, 'config.toml')
  const before = await readConfigText(directory)
  const after = await edit(before, file)
  const config = parseConfig(after, file)
  if (after === before) return config
  const line = lineNotUtf8(await readFile(file))
  if (line !== undefined) {
    throw new MypaasError(`${file}:${line}: some bytes are no UTF-8, and would be others after a change.`, {
      code: 'usage',
      hint: `Write the line anew in UTF-8, or all of it if it is in Latin-1: iconv -f LATIN1 -t UTF-8 ${file} > new.toml && chmod 600 new.toml && mv new.toml ${file}`,
    })
  }
  await writeDurably(file, after)
  return config
}
