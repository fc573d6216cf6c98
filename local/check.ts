/**
 * `npm run check`: everything that CI runs besides the tests, one line a step, and what a failing step
 * says. It writes nothing. `--json` prints one JSON object to stdout and the lines to stderr.
 */
import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

const MODULES = 'node_modules'
const STEPS: [name: string, command: string[]][] = [
  ['format and lint', [`${MODULES}/@biomejs/biome/bin/biome`, 'check', '--colors=off']],
  ['types on Node', [`${MODULES}/typescript/bin/tsc`, '-p', 'tsconfig.node.json']],
  ['types at the edge', [`${MODULES}/typescript/bin/tsc`, '-p', 'tsconfig.edge.json']],
  [
    'tidy',
    [`${MODULES}/vitest/vitest.mjs`, 'run', '--no-color', '--reporter=dot', 'tests/tidy.test.ts'],
  ],
  ['unused code', [`${MODULES}/knip/bin/knip.js`, '--treat-config-hints-as-errors']],
  ['generated files', ['local/generate.ts', '--check']],
]

type Step = { name: string; ok: boolean; seconds: number; output: string }

const root = fileURLToPath(new URL('..', import.meta.url))
const { values } = parseArgs({ options: { json: { type: 'boolean', default: false } } })
const print = (text: string) => (values.json ? process.stderr : process.stdout).write(text)

const steps: Step[] = []
for (const [name, command] of STEPS) {
  const step = await run(name, command)
  steps.push(step)
  print(`${step.ok ? 'ok    ' : 'FAILED'}  ${name} (${step.seconds.toFixed(1)} s)\n`)
  if (!step.ok) print(`${step.output.trimEnd()}\n\n`)
}
const failed = steps.filter(({ ok }) => !ok).length
const passed = steps.length - failed
print(`check: ${passed} passed, ${failed} failed\n`)
if (values.json)
  process.stdout.write(`${JSON.stringify({ check: 'all', passed, failed, steps })}\n`)
process.exitCode = failed === 0 ? 0 : 1

function run(name: string, command: string[]): Promise<Step> {
  const startedAt = performance.now()
  const stdio = ['ignore', 'pipe', 'pipe'] as const
  // Colours are for whoever asked for them with FORCE_COLOR.
  const args = ['--disable-warning=ExperimentalWarning', ...command]
  const child = spawn(process.execPath, args, { cwd: root, stdio: [...stdio] })
  const chunks: Buffer[] = []
  for (const stream of [child.stdout, child.stderr]) stream.on('data', chunk => chunks.push(chunk))
  return new Promise((resolve, reject) => {
    child.on('error', reject)
    child.on('close', code => {
      const seconds = (performance.now() - startedAt) / 1000
      resolve({ name, ok: code === 0, seconds, output: Buffer.concat(chunks).toString() })
    })
  })
}
