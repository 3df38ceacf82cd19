import { statSync } from 'node:fs'
import { join } from 'node:path'
import { parseConfig, readConfig, type ServerConfig } from './config.ts'

/**
 * The settings of `[server]` as they were when the config could be read last. A config that is broken at this moment
 * neither shuts anybody out nor says a word to strangers; who has signed well is told what is wrong with it by what they
 * ask for.
 */
export class LiveSettings {
  readonly #directory: string
  readonly #log: (line: string) => void
  #stamp = ''
  #reading: Promise<ServerConfig['server']> = Promise.resolve(parseConfig('').server)

  constructor(directory: string, log: (line: string) => void) {
    this.#directory = directory
    this.#log = log
  }

  now(): Promise<ServerConfig['server']> {
    const found = statSync(join(this.#directory, 'config.toml'), { throwIfNoEntry: false })
    const stamp = found ? [found.mtimeMs, found.ctimeMs, found.size, found.ino, found.mode].join(' ') : 'none'
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
