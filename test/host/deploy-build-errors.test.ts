import assert from 'node:assert/strict'
import { test } from 'node:test'
import { busyboxImage } from '../support/images.ts'
import { world } from '../support/world.ts'

test('what goes wrong at a build is told in our words, with the line of the Dockerfile', async (t) => {
  const w = await world(t)
  await w.init()
  const base = await busyboxImage(w.docker)
  const end = 'CMD ["sleep", "1000"]'
  const cases: Readonly<Record<string, readonly [lines: readonly string[], says: RegExp, hint?: RegExp]>> = {
    'a registry that is not there': [
      [`FROM ${base} AS first`, 'FROM 127.0.0.1:9/nope:1', end],
      /✗ Dockerfile:3: the image 127\.0\.0\.1:9\/nope:1 is not here, and 127\.0\.0\.1:9 can't be reached \(connection refused\)\.\n/,
      /docker save 127\.0\.0\.1:9\/nope:1/,
    ],
    'no such registry in DNS': [
      ['FROM registry.invalid/nope:1', end],
      /✗ Dockerfile:2: the image registry\.invalid\/nope:1 is not here, and registry\.invalid can't be reached \(/,
    ],
    'a file that is called otherwise': [
      [`FROM ${base}`, 'WORKDIR /app', 'COPY pakage.json ./', end],
      /✗ Dockerfile:4: COPY pakage\.json \.\/: there is no pakage\.json in the directory, or \.dockerignore leaves it out\.\n/,
      /Did you mean package\.json\?/,
    ],
    'a file that lies elsewhere, in a stage of many': [
      [`FROM ${base} AS build`, 'RUN echo 1', 'COPY main.js /', `FROM ${base}`, 'COPY --from=build /main.js /', end],
      /✗ Dockerfile:4: COPY main\.js \/: there is no main\.js in the directory/,
      /Did you mean src\/main\.js\?/,
    ],
    'a file that no stage makes': [
      [`FROM ${base} AS build`, 'RUN echo 1', `FROM ${base}`, 'COPY --from=build /out /out', end],
      /✗ Dockerfile:5: COPY \/out \/out: there is no out in build\.\n/,
    ],
    'nothing to run': [
      ['FROM scratch', 'COPY package.json /'],
      /✗ Dockerfile:2: the image of this stage has no CMD and no ENTRYPOINT, so nothing would run in it\.\n/,
      /CMD \["PROGRAM", "ARGUMENT"\]/,
    ],
    'no FROM': [['RUN echo 1', end], /✗ Dockerfile:2: RUN stands above any FROM/, /Begin with FROM IMAGE/],
    'no instruction at all': [[], /✗ Dockerfile has no instruction\.\n/],
    'an instruction that is none': [
      [`FROM ${base}`, 'COPYY package.json /', end],
      /✗ Dockerfile:3: COPYY is no instruction\.\n/,
      /Did you mean COPY\?/,
    ],
    'a command that fails': [
      [`FROM ${base} AS build`, 'RUN echo fine && \\', '  exit 3', 'RUN echo never', end],
      /✗ The build failed at \[2\/3\] RUN echo fine &&.* \(Dockerfile:3\), with exit code 3\.\n/,
    ],
  }
  for (const [what, [lines, says, hint]] of Object.entries(cases)) {
    await t.test(what, async () => {
      const directory = await w.service('web', {
        dockerfile: ['# mypaas.service = web', ...lines, ''].join('\n'),
        files: { 'package.json': '{}', 'src/main.js': '' },
      })
      const { code, stderr } = await w.cli(['server', 'deploy', directory])
      assert.equal(code, 1, stderr)
      assert.match(stderr, says)
      if (hint) assert.match(stderr, hint)
      // The builder's own words stand below, not in the place of ours.
      assert.doesNotMatch(stderr, /✗ .*(?:failed to solve|LLB|cache key|frontend)/)
      assert.match(stderr, /Nothing of web runs\./)
    })
  }
})
