/** `npm run check`: everything that CI runs besides the tests, one line a step. */
import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'

const STEPS: [string, string[]][] = [
  ['format and lint', ['node_modules/@biomejs/biome/bin/biome', 'check']],
  ['types on Node', ['node_modules/typescript/bin/tsc', '-p', 'tsconfig.node.json']],
  ['types at the edge', ['node_modules/typescript/bin/tsc', '-p', 'tsconfig.edge.json']],
  ['tidy', ['node_modules/vitest/vitest.mjs', 'run', 'tests/tidy.test.ts']],
  ['unused code', ['node_modules/knip/bin/knip.js']],
  ['generated files', ['local/generate.ts', '--check']],
]

const cwd = fileURLToPath(new URL('..', import.meta.url))
let failed = 0
for (const [name, command] of STEPS) {
  const startedAt = performance.now()
  const { status, stdout, stderr } = spawnSync(process.execPath, command, { cwd, encoding: 'utf8' })
  const seconds = ((performance.now() - startedAt) / 1000).toFixed(1)
  process.stdout.write(`${status === 0 ? 'ok    ' : 'FAILED'}  ${name} (${seconds} s)\n`)
  if (status === 0) continue
  failed++
  process.stdout.write(`${stdout}${stderr}\n`)
}
process.stdout.write(`check: ${STEPS.length - failed} passed, ${failed} failed\n`)
process.exitCode = failed === 0 ? 0 : 1
