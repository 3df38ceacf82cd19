import assert from 'node:assert/strict'
import { test } from 'node:test'
import { maxForeignBytes, readForeignFile } from '../../src/deploy/foreign-file.ts'
import { type Docker, NotFoundError } from '../../src/docker/index.ts'
import { MypaasError } from '../../src/errors.ts'

type Made = { type?: 'file' | 'symlink' | 'directory' | 'fifo'; linkname?: string; size?: number; body?: string }

const flags = { file: '0', symlink: '2', directory: '5', fifo: '6' } as const

function header({ type = 'file', linkname = '', body = '', size = body.length }: Made): Buffer {
  const block = Buffer.alloc(512)
  const octal = (value: number, length: number): string => `${value.toString(8).padStart(length - 1, '0')}\0`
  block.write('x', 0)
  block.write(`${octal(0o644, 8)}${octal(0, 8)}${octal(0, 8)}${octal(size, 12)}${octal(0, 12)}        `, 100)
  block.write(flags[type], 156)
  block.write(linkname, 157)
  block.write('ustar\x0000', 257)
  block.write(
    `${octal(
      block.reduce((sum, byte) => sum + byte, 0),
      7,
    )} `,
    148,
  )
  return block
}

/** An engine that has these files in its container; of a large one it sends on and on. */
function engine(files: Record<string, Made>) {
  const seen = { bytes: 0, cancelled: 0 }
  const getArchive = async (_: string, path: string) => {
    const made = files[path]
    if (!made) throw new NotFoundError('no', { status: 404, method: 'GET', path: '/archive' })
    async function* tar(found: Made): AsyncGenerator<Buffer> {
      yield header(found)
      const { body = '', size = body.length } = found
      if (body.length > 0) yield Buffer.concat([Buffer.from(body), Buffer.alloc((512 - (body.length % 512)) % 512)])
      for (let left = size - body.length; left > 0; left -= 65_536) {
        seen.bytes += 65_536
        yield Buffer.alloc(65_536, '\n')
      }
      yield Buffer.alloc(1024)
    }
    const cancel = (): void => {
      seen.cancelled += 1
    }
    return { stat: {}, tar: Object.assign(tar(made), { cancel }) }
  }
  return { seen, docker: { containers: { getArchive } } as unknown as Docker }
}

const read = (files: Record<string, Made>) =>
  readForeignFile(engine(files).docker, 'c', '/etc/passwd', { timeoutMs: 1_000 })

test('a file is read, also through links, and one that is not there is none', async () => {
  assert.equal(await read({ '/etc/passwd': { body: 'root:x:0:0\n' } }), 'root:x:0:0\n')
  assert.equal(await read({}), undefined)
  const linked = {
    '/etc/passwd': { type: 'symlink', linkname: '../nix/passwd' },
    '/nix/passwd': { type: 'symlink', linkname: 'real' },
    '/nix/real': { body: 'app' },
  } as const
  assert.equal(await read(linked), 'app')
  assert.equal(await read({ '/etc/passwd': { type: 'symlink', linkname: '/nowhere' } }), undefined)
})

test('what is no file, or too large, or leads in circles is refused by its name, and not read', async () => {
  const refused: [Made, RegExp][] = [
    [{ type: 'directory' }, /^\/etc\/passwd of the image is no file but a directory\.$/],
    [{ type: 'fifo' }, /^\/etc\/passwd of the image is no file but a device\.$/],
    [{ type: 'symlink', linkname: 'passwd' }, /^\/etc\/passwd of the image is a link that leads in circles\.$/],
    [{ size: maxForeignBytes + 1 }, /^\/etc\/passwd of the image has 1048577 bytes; up to 1048576 are read\.$/],
    [{ size: 1_500_000_000 }, /has 1500000000 bytes/],
  ]
  for (const [made, message] of refused) {
    const { docker, seen } = engine({ '/etc/passwd': made })
    await assert.rejects(
      readForeignFile(docker, 'c', '/etc/passwd', { timeoutMs: 1_000 }),
      (error) => error instanceof MypaasError && message.test(error.message),
      String(message),
    )
    assert.ok(seen.bytes < 1024 ** 2, `${seen.bytes} bytes were read`)
    assert.ok(seen.cancelled > 0)
  }
})

test('a megabyte of line ends is read as what it is', async () => {
  assert.equal((await read({ '/etc/passwd': { body: '\n'.repeat(maxForeignBytes) } }))?.length, maxForeignBytes)
})
