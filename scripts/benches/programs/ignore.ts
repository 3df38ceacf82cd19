/** Asks 50 patterns about the paths of a project. Prints paths a second. */
import { parseIgnore } from '../../../src/context/index.ts'

const patterns = `
.git .gitignore .github .vscode .idea node_modules **/node_modules bower_components dist build coverage .nyc_output
*.log **/*.log npm-debug.log* yarn-error.log* .env .env.* !.env.example **/.DS_Store **/Thumbs.db *.md !README.md docs/**
!docs/api test **/__tests__ **/*.test.js **/*.spec.ts **/*.map tmp/* !tmp/keep **/tmp .cache **/.cache *.swp **/*~
**/*.py[cod] **/__pycache__ .pytest_cache venv .tox Makefile docker-compose*.yml **/Dockerfile* !docker/Dockerfile
scripts/dev-* **/secrets/*.pem assets/**/raw/*.psd LICENSE`
  .trim()
  .split(/\s+/)
const rules = parseIgnore(patterns.join('\n'))
const names = ['index.ts', 'README.md', 'a.test.js', 'style.css', 'Dockerfile.dev', 'page-4.html', '.DS_Store', 'x.py']
const folders = [
  '',
  'src',
  'src/server/http',
  'docs/api',
  'docs/guide',
  'node_modules/left-pad',
  'lib/deep/er/and/deeper',
]
const paths = Array.from({ length: 20_000 }, (_, index) => {
  const folder = folders[Math.floor(index / 40) % folders.length]
  return `${folder}${folder && '/'}${index % 3 ? `file-${index}.ts` : names[index % names.length]}`
})
let count = 0
let ignored = 0
const started = performance.now()
while (performance.now() - started < 1000) {
  for (const path of paths) if (rules.ignores(path)) ignored++
  count += paths.length
}
const seconds = (performance.now() - started) / 1000
console.log(JSON.stringify({ patterns: patterns.length, pathsPerSecond: count / seconds, ignored: ignored / count }))
