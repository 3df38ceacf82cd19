import { existsSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** 20,000 files of 4 KiB in 200 directories. */
export function manyFiles(): string {
  return tree('20k', (root) => {
    const bytes = noise(4096)
    for (let directory = 0; directory < 200; directory++) {
      mkdirSync(join(root, `directory-${directory}`))
      for (let file = 0; file < 100; file++) writeFileSync(join(root, `directory-${directory}/file-${file}.txt`), bytes)
    }
  })
}

/** Like a node_modules: 48,750 files in 8,251 directories and some links, 490 MB as an archive, most files small. */
export function nodeModules(): string {
  return tree('modules', (root) => {
    const bytes = noise(4_000_000)
    let seed = 7
    const random = (): number => {
      seed = (Math.imul(seed, 1_103_515_245) + 12_345) & 0x7fffffff
      return seed / 0x7fffffff
    }
    const write = (path: string, size: number): void => {
      const from = Math.floor(random() * (bytes.length - size))
      writeFileSync(join(root, path), bytes.subarray(from, from + size))
    }
    for (let number = 0; number < 750; number++) {
      const folder = `node_modules/package-${number}`
      mkdirSync(join(root, folder), { recursive: true })
      write(`${folder}/package.json`, 1200)
      for (let part = 0; part < 8; part++) {
        const below = `${folder}/${part < 5 ? 'lib/sub' : 'dist/part'}${part}`
        mkdirSync(join(root, below), { recursive: true })
        for (let file = 0; file < 8; file++) {
          const size = random() < 0.02 ? 60_000 + random() * 200_000 : Math.exp(7.6 + random() * 1.9)
          write(`${below}/module-${file}.js`, Math.floor(size))
        }
      }
    }
    mkdirSync(join(root, 'node_modules/.bin'))
    for (let link = 0; link < 45; link++) {
      symlinkSync(`../package-${link}/lib/sub0/module-0.js`, join(root, `node_modules/.bin/b${link}`))
    }
  })
}

export function removeTrees(): void {
  rmSync(folder, { recursive: true, force: true })
}

/** A file in the trees' folder, gone with them. */
export function scratch(name: string): string {
  mkdirSync(folder, { recursive: true })
  return join(folder, name)
}

const folder = join(fileURLToPath(new URL('.', import.meta.url)).replace(/\.cache\/dist\/.*$/, '.cache'), 'trees')

function tree(name: string, fill: (root: string) => void): string {
  const root = join(folder, name)
  if (!existsSync(join(root, 'Dockerfile'))) {
    rmSync(root, { recursive: true, force: true })
    mkdirSync(root, { recursive: true })
    fill(root)
    // Last: so it is there only if all is.
    writeFileSync(join(root, 'Dockerfile'), 'FROM scratch\nCOPY . /\n')
  }
  readFileSync(join(root, 'Dockerfile'))
  return root
}

function noise(length: number): Buffer {
  const bytes = Buffer.alloc(length)
  for (let at = 0, state = 1; at < length; at++) {
    state = (Math.imul(state, 48_271) + 11) & 0x7fffffff
    bytes[at] = 97 + (state % 26)
  }
  return bytes
}
