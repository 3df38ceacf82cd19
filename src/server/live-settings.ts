import { join } from 'node:path'
import { parseConfig, readConfig, type ServerConfig } from './config.ts'
import { FileLook } from './file-look.ts'

/**
 * The settings of `[server]` as they were when the config could be read last. A config that is broken at this moment
 * neither shuts anybody out nor says a word to strangers; who has signed well is told what is wrong with it by what they
 * ask for.
 */
export class LiveSettings {
  readonly #directory: string
  readonly #log: (line: string) => void
  readonly #look: FileLook
  #stamp = ''
  #reading: Promise<ServerConfig['server']> = Promise.resolve(parseConfig('').server)

  constructor(directory: string, log: (line: string) => void) {
    this.#directory = directory
    this.#look = new FileLook(join(directory, 'config.toml'))
    this.#log = log
  }

  now(): Promise<ServerConfig['server']> {
    const { stamp } = this.#look.now()
    if (stamp !== this.#stamp) {
      this.#stamp = stamp
      this.#reading = this.#read(this.#reading)
    }
    return this.#reading
  }

  async #read(before: Promise<ServerConfig['server']>): Promise<ServerConfig['server']> {
    try {
      return (await readConfig(this.#directory)).server
    } catch (error) {
      this.#log(`the settings stay as they were: ${error instanceof Error ? error.message : String(error)}`)
      return before
    }
  }
}
