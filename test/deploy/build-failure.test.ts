import assert from 'node:assert/strict'
import { test } from 'node:test'
import { buildFailure } from '../../src/deploy/build-failure.ts'
import { BuildError } from '../../src/docker/index.ts'
import { Steps } from '../../src/service/dockerfile.ts'

const dockerfile = [
  '# mypaas.service = web',
  'ARG V=22',
  'FROM node:$V AS build',
  'ENV A=1',
  'WORKDIR /app',
  'COPY package.json ./',
  'RUN npm ci \\',
  '  && npm test',
  'FROM build AS more',
  'RUN one',
  'FROM scratch',
  'COPY --from=build /out /',
  'COPY conf.d/*.conf /etc/',
].join('\n')
const paths = ['Dockerfile', 'package.jsn', 'src', 'src/index.js']

function told(message: string, step?: string, more: { exitCode?: number; lastLines?: string[] } = {}): string {
  const error = new BuildError(message, { step, ...more })
  const {
    message: own,
    hint,
    report,
  } = buildFailure(error, {
    dockerfile: 'Dockerfile',
    dockerfileText: dockerfile,
    paths: () => paths,
  })
  assert.ok(own.includes(message) || report?.lastLines.length, 'the builder is heard, too')
  return hint === undefined ? own : `${own} ${hint}`
}

/** What engines of several ages say, each with its step where there was one. */
const table: readonly (readonly [message: string, step: string | undefined, own: RegExp])[] = [
  [
    'failed to solve with frontend dockerfile.v0: failed to create LLB definition: docker.io/library/node:22: not found',
    '[internal] load metadata for docker.io/library/node:22',
    /^Dockerfile:3: there is no image node:22, or it is private\. .*docker login$/,
  ],
  [
    'failed to solve: node:22: failed to resolve source metadata for docker.io/library/node:22: pull access denied, repository does not exist or may require authorization: server message: insufficient_scope: authorization failed',
    undefined,
    /^Dockerfile:3: there is no image node:22, or it is private\./,
  ],
  [
    'manifest for node:22 not found: manifest unknown: manifest unknown',
    'Step 2/11 : FROM node:22 AS build',
    /^Dockerfile:3: there is no image node:22/,
  ],
  [
    'failed to do request: Head "https://registry-1.docker.io/v2/library/node/manifests/22": dial tcp: lookup registry-1.docker.io on 10.0.0.1:53: no such host',
    '[internal] load metadata for docker.io/library/node:22',
    /^Dockerfile:3: the image node:22 is not here, and docker\.io can't be reached \(lookup .*no such host\)\. .*docker save node:22/,
  ],
  [
    'toomanyrequests: You have reached your pull rate limit.',
    '[internal] load metadata for docker.io/library/node:22',
    /^Dockerfile:3: docker\.io gives us no more images for now/,
  ],
  [
    'docker.io/library/node:22: no match for platform in manifest: not found',
    '[internal] load metadata for docker.io/library/node:22',
    /^Dockerfile:3: there is no image node:22 for the kind of processor/,
  ],
  [
    'failed to compute cache key: "/package.json" not found: not found',
    '[build 3/4] COPY package.json ./',
    /^Dockerfile:6: COPY package\.json \.\/: there is no package\.json in the directory, or .* Did you mean package\.jsn\?$/,
  ],
  [
    'failed to solve: failed to compute cache key: failed to calculate checksum of ref 1::2: "/package.json": not found',
    undefined,
    /^Dockerfile:6: COPY package\.json/,
  ],
  [
    'COPY failed: file not found in build context or excluded by .dockerignore: stat package.json: file does not exist',
    'Step 5/11 : COPY package.json ./',
    /^Dockerfile:6: COPY package\.json .* Did you mean package\.jsn\?$/,
  ],
  [
    'COPY failed: no source files were specified',
    'Step 11/11 : COPY conf.d/*.conf /etc/',
    /^Dockerfile:13: .*there is no conf\.d\/\*\.conf in the directory/,
  ],
  [
    'failed to compute cache key: "/out" not found: not found',
    '[stage-2 1/2] COPY --from=build /out /',
    /^Dockerfile:12: COPY \/out \/: there is no out in build\./,
  ],
  [
    'dockerfile parse error line 6: unknown instruction: COPYY',
    undefined,
    /^Dockerfile:6: COPYY is no instruction\. Did you mean COPY\?$/,
  ],
  [
    'Dockerfile parse error on line 6: unknown instruction: XYZZY',
    undefined,
    /^Dockerfile:6: XYZZY is no instruction\./,
  ],
  ['dockerfile parse error on line 7: RUN requires at least one argument', undefined, /^Dockerfile:7: RUN requires/],
  ['no build stage in current context', undefined, /^Dockerfile:2: ARG stands above any FROM/],
  [
    'failed to solve with frontend dockerfile.v0: failed to create LLB definition: circular dependency',
    '[more 1/1] RUN one',
    /^The build failed at \[more 1\/1\] RUN one \(Dockerfile:10\): circular dependency$/,
  ],
]

for (const [message, step, own] of table)
  test(`a build that fails: ${message.slice(0, 70)}`, () => assert.match(told(message, step), own))

test('a command that fails is told with its exit code, its line and its last lines', () => {
  const error = 'process "/bin/sh -c npm ci" did not complete successfully: exit code: 1'
  assert.equal(
    told(error, '[build 4/4] RUN npm ci   && npm test', { exitCode: 1, lastLines: ['npm ERR!'] }),
    'The build failed at [build 4/4] RUN npm ci   && npm test (Dockerfile:7), with exit code 1.',
  )
})

test('a command of any length is no work', () => {
  for (const word of ['x'.repeat(900_000), 'stat '.repeat(180_000), '"'.repeat(900_000)]) {
    const begin = performance.now()
    const own = told(
      `process "/bin/sh -c ${word}" did not complete successfully: exit code: 1`,
      `[more 1/1] RUN ${word}`,
    )
    assert.match(own, /^The build failed at \[more 1\/1\] RUN /)
    assert.ok(performance.now() - begin < 2_000)
  }
})

test('steps are found as builders number them', () => {
  const steps = new Steps(dockerfile)
  const lines = (...names: string[]) => names.map((name) => steps.find(name)?.line)
  assert.deepEqual(
    lines(
      '[build 1/4] FROM docker.io/library/node:22',
      '[build 2/4] WORKDIR /app',
      '[linux/amd64 build 4/4] RUN npm ci',
    ),
    [3, 5, 7],
  )
  assert.deepEqual(lines('[stage-2 2/2] COPY conf.d/*.conf /etc/', 'Step 3/11 : ENV A=1'), [13, 4])
  assert.deepEqual(lines('[build 2/4] RUN other', '[nothing 1/1] RUN x', '[internal] load metadata for x', ''), [
    undefined,
    undefined,
    undefined,
    undefined,
  ])
  assert.equal(new Steps('FROM x\nRUN a\n').find('[2/2] RUN a')?.line, 2)
})
