import { appendFile, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { ConflictError, type Docker, NotFoundError } from '../src/docker/index.ts'

const noteName = 'made-images'

/** Which images a clone made itself, by their names: what was there before, or others made, is theirs. */
export class MadeImages {
  readonly #folder: string

  constructor(folder: string) {
    this.#folder = folder
  }

  async note(name: string, id: string): Promise<void> {
    await mkdir(this.#folder, { recursive: true })
    // Several are made at once.
    await appendFile(join(this.#folder, noteName), `${name} ${id}\n`)
  }

  /**
   * Takes their tags away, and with the last one each image; left is what a container uses, and a tag that means another
   * image by now. Then the folder goes, unless something was left.
   */
  async remove(docker: Pick<Docker, 'images' | 'containers'>, say: (line: string) => void): Promise<void> {
    const left: Record<string, string> = {}
    for (const [name, id] of Object.entries(await this.#read())) {
      const found = await docker.images.inspect(name).catch((error: unknown) => {
        if (error instanceof NotFoundError) return undefined
        throw error
      })
      if (found?.Id !== id) continue
      if ((await isUsed(docker, id)) || !(await removed(docker, name))) {
        left[name] = id
        say(`${name} stays: a container uses it`)
      } else say(`removed ${name}`)
    }
    for (const entry of await readdir(this.#folder).catch(() => []))
      if (entry !== noteName) await rm(join(this.#folder, entry), { recursive: true, force: true })
    if (Object.keys(left).length > 0) await this.#write(left)
    else await rm(this.#folder, { recursive: true, force: true })
  }

  async #read(): Promise<Record<string, string>> {
    const text = await readFile(join(this.#folder, noteName), 'utf8').catch(() => '')
    return Object.fromEntries(
      text
        .split('\n')
        .filter((line) => line !== '')
        .map((line) => line.split(' ')),
    )
  }

  #write(made: Record<string, string>): Promise<void> {
    const lines = Object.entries(made).map(([name, id]) => `${name} ${id}\n`)
    return writeFile(join(this.#folder, noteName), lines.join(''))
  }
}

/** Also of an image that was built from it. */
async function isUsed({ containers }: Pick<Docker, 'containers'>, id: string): Promise<boolean> {
  return (await containers.list({ all: true, filters: { ancestor: [id] } })).length > 0
}

async function removed({ images }: Pick<Docker, 'images'>, name: string): Promise<boolean> {
  try {
    await images.remove(name)
    return true
  } catch (error) {
    if (error instanceof ConflictError) return false
    throw error
  }
}
