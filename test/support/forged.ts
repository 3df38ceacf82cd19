import { createHash } from 'node:crypto'
import { chunkSize, type Manifest } from '../../src/push/manifest.ts'

const sha = (text: Buffer): string => createHash('sha256').update(text).digest('hex')
const digest = 'd'.repeat(64)

/** The line of a Dockerfile of three bytes. */
export const dockerfile: string = `F 644 1700000000 3 ${digest} Dockerfile\n`

/** A manifest of these lines, index and all, as a client that lies would make it. */
export function forged(
  lines: string,
  more: { entries?: number; bytes?: number; dockerfile?: string } = {},
): Pick<Manifest, 'index' | 'texts'> {
  const text = Buffer.from(lines, 'latin1')
  const count = more.entries ?? lines.split('\n').length - 1
  const bytes =
    more.bytes ?? [...lines.matchAll(/^[Ff] \S+ \S+ (\d+)/gm)].reduce((sum, [, size]) => sum + Number(size), 0)
  const head = `mypaas manifest 1\ndockerfile ${more.dockerfile ?? 'Dockerfile'}\nentries ${count}\nbytes ${bytes}\n`
  return { index: Buffer.from(`${head}${text.length} ${sha(text)}\n`, 'latin1'), texts: [text] }
}

/** Manifests that only somebody with bad intentions would make, by what is wrong with them. */
export const tricks: Record<string, Pick<Manifest, 'index' | 'texts'>> = {
  'the parent': forged(`F 644 0 3 ${digest} ..\n${dockerfile}`),
  'below the parent': forged(`D 755 0 ..\nF 644 0 3 ${digest} ../x\n${dockerfile}`),
  'a parent in the middle': forged(`${dockerfile}D 755 0 a\nF 644 0 3 ${digest} a/../../x\n`),
  'a parent at the end': forged(`${dockerfile}D 755 0 a\nD 755 0 a/..\n`),
  'the directory itself': forged(`D 755 0 .\n${dockerfile}`),
  'a dot in the middle': forged(`${dockerfile}D 755 0 a\nD 755 0 a/.\nF 644 0 3 ${digest} a/./x\n`),
  'an absolute path': forged(`F 644 0 3 ${digest} /etc/passwd\n${dockerfile}`),
  'only a slash': forged(`D 755 0 /\n${dockerfile}`),
  'two slashes': forged(`${dockerfile}D 755 0 a\nF 644 0 3 ${digest} a//x\n`),
  'a slash at the end': forged(`${dockerfile}D 755 0 a/\n`),
  'no name': forged(`D 755 0 \n${dockerfile}`),
  'a zero byte': forged(`${dockerfile}F 644 0 3 ${digest} a%00b\n`),
  'an escaped letter': forged(`${dockerfile}F 644 0 3 ${digest} %61\n`),
  'an escaped parent': forged(`F 644 0 3 ${digest} %2E%2E\n${dockerfile}`),
  'an escaped slash': forged(`${dockerfile}F 644 0 3 ${digest} a%2Fb\n`),
  'an escape in small letters': forged(`${dockerfile}F 644 0 3 ${digest} a%0a\n`),
  'an escape that is none': forged(`${dockerfile}F 644 0 3 ${digest} a%zz\n`),
  'a bare percent sign': forged(`${dockerfile}F 644 0 3 ${digest} a%\n`),
  'a carriage return': forged(`${dockerfile}F 644 0 3 ${digest} a\r\n`),
  'a tab': forged(`${dockerfile}F 644 0 3 ${digest} a\tb\n`),
  'a name of 256 bytes': forged(`${dockerfile}F 644 0 3 ${digest} ${'x'.repeat(256)}\n`),
  'a path of 5,000 bytes': forged(`${dockerfile}F 644 0 3 ${digest} ${'x/'.repeat(2500)}x\n`),
  'the same path twice': forged(`${dockerfile}${dockerfile}`),
  'a file and a directory of one name': forged(`${dockerfile}F 644 0 3 ${digest} a\nD 755 0 a\n`),
  'a file below a file': forged(`${dockerfile}F 644 0 3 ${digest} a\nF 644 0 3 ${digest} a/b\n`),
  'a file below a link': forged(`${dockerfile}L 777 0 /etc a\nF 644 0 3 ${digest} a/passwd\n`),
  'a file in no directory': forged(`${dockerfile}F 644 0 3 ${digest} a/b\n`),
  'paths out of order': forged(`F 644 0 3 ${digest} a\n${dockerfile}`),
  'a device': forged(`${dockerfile}B 644 0 8,0 a\n`),
  'a pipe': forged(`${dockerfile}P 644 0 a\n`),
  'the same file as a later one': forged(`${dockerfile}S 644 0 b a\nF 644 0 3 ${digest} b\n`),
  'the same file as itself': forged(`${dockerfile}S 644 0 a a\n`),
  'the same file as a directory': forged(`${dockerfile}D 755 0 a\nS 644 0 a b\n`),
  'the same file as what a link leads to': forged(`${dockerfile}L 777 0 /etc/passwd a\nS 644 0 a b\n`),
  'the same file as a hard link': forged(`${dockerfile}S 644 0 Dockerfile a\nS 644 0 a b\n`),
  'the same file as one outside': forged(`${dockerfile}S 644 0 /etc/passwd a\n`),
  'the same file as one above the context': forged(`${dockerfile}S 644 0 ../x a\n`),
  'the same file as one that is left out': forged(
    `f 644 0 3 ${digest} .dockerignore\n${dockerfile}S 644 0 .dockerignore a\n`,
  ),
  'a Dockerfile that is a hard link': forged(`F 644 0 3 ${digest} A\nS 644 0 A Dockerfile\n`),
  'a hard link of another letter': forged(`${dockerfile}H 644 0 Dockerfile a\n`),
  'a link to nowhere': forged(`${dockerfile}L 777 0  a\n`),
  'a link with a zero byte': forged(`${dockerfile}L 777 0 x%00 a\n`),
  'a mode of a device': forged(`${dockerfile}F 60644 0 3 ${digest} a\n`),
  'a mode that is none': forged(`${dockerfile}F 9 0 3 ${digest} a\n`),
  'a time that is none': forged(`${dockerfile}F 644 1e9 3 ${digest} a\n`),
  'a time after the end of time': forged(`${dockerfile}F 644 9999999999999 3 ${digest} a\n`),
  'a negative size': forged(`${dockerfile}F 644 0 -3 ${digest} a\n`, { bytes: 3 }),
  'a size in exponents': forged(`${dockerfile}F 644 0 3e0 ${digest} a\n`, { bytes: 6 }),
  'a size with a zero before it': forged(`${dockerfile}F 644 0 03 ${digest} a\n`, { bytes: 6 }),
  'a mode with a zero before it': forged(`${dockerfile}F 0644 0 3 ${digest} a\n`),
  'a mode of five digits': forged(`${dockerfile}F 10644 0 3 ${digest} a\n`),
  'a mode that is decimal': forged(`${dockerfile}F 684 0 3 ${digest} a\n`),
  'a time with a zero before it': forged(`${dockerfile}F 644 01 3 ${digest} a\n`),
  'a digest for an empty file': forged(`${dockerfile}F 644 0 0 ${digest} a\n`),
  'a digest in capital letters': forged(`${dockerfile}F 644 0 3 ${'D'.repeat(64)} a\n`),
  'a digest that is too long by one': forged(`${dockerfile}F 644 0 3 ${digest}d a\n`),
  'a line without end': { ...forged(dockerfile), texts: [Buffer.from(dockerfile.slice(0, -1))] },
  'a file of a terabyte': forged(`${dockerfile}F 644 0 1099511627776 ${digest} a\n`),
  'too few digests': forged(`${dockerfile}F 644 0 ${chunkSize + 1} ${digest} a\n`),
  'too many digests': forged(`${dockerfile}F 644 0 3 ${digest},${'e'.repeat(64)} a\n`),
  'no digest': forged(`${dockerfile}F 644 0 3 - a\n`),
  'half a digest': forged(`${dockerfile}F 644 0 3 dddd a\n`),
  'one digest for two sizes': forged(`${dockerfile}F 644 0 4 ${digest} a\n`),
  'words too many': forged(`${dockerfile}D 755 0 a b\n`),
  'no Dockerfile': forged(`F 644 0 3 ${digest} a\n`),
  'a Dockerfile that is a link': forged('L 777 0 /etc/passwd Dockerfile\n'),
  'a Dockerfile outside': forged(dockerfile, { dockerfile: '../Dockerfile' }),
  'more entries than announced': forged(`${dockerfile}D 755 0 a\n`, { entries: 1 }),
  'fewer entries than announced': forged(dockerfile, { entries: 2 }),
  'more bytes than announced': forged(dockerfile, { bytes: 2 }),
  'fewer bytes than announced': forged(dockerfile, { bytes: 4 }),
  'a gigabyte of announced manifest': {
    index: Buffer.from(`mypaas manifest 1\ndockerfile D\nentries 1\nbytes 1\n1073741824 ${digest}\n`),
    texts: [],
  },
  'an index of a megabyte': { index: Buffer.alloc(1024 ** 2, 'x'), texts: [] },
  'a billion entries': {
    index: Buffer.from('mypaas manifest 1\ndockerfile D\nentries 1000000000\nbytes 1\n'),
    texts: [],
  },
  'another version': { index: Buffer.from('mypaas manifest 2\ndockerfile D\nentries 0\nbytes 0\n'), texts: [] },
}
