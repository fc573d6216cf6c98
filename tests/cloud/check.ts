/**
 * `npm run check:cloud`: the suites of the production drivers against servers on loopback that speak
 * their protocols, counted by driver. A case that a server cannot be asked is named in `excluded` with its
 * reason; whatever else did not run is in `skipped`, as moto is without Python, and in CI nothing may be there.
 * Ends with one line of JSON; exits with 1 when a test failed, or when something was skipped in CI.
 */
import { spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { pythonWith } from '../conformance/clients/python.ts'
import { EXCLUDED } from '../conformance/engines.ts'
import { leftOut, type Result } from './left-out.ts'

/** Whose guarantees the tests of a file are. */
const FILES = {
  sqs: [
    'tests/cloud/sqs.test.ts',
    'tests/cloud/sqs-bodies.test.ts',
    'tests/cloud/sqs-faults.test.ts',
    'tests/conformance/classes/classes.test.ts',
  ],
  s3: [
    'tests/cloud/blobs/s3.test.ts',
    'tests/cloud/blobs/s3-faults.test.ts',
    'tests/cloud/blobs/s3-join.test.ts',
    'tests/cloud/blobs/s3-signed.test.ts',
  ],
  postgres: [
    'tests/cloud/postgres/postgres.test.ts',
    'tests/cloud/postgres/postgres-migrations.test.ts',
    'tests/cloud/postgres/postgres-password.test.ts',
    'tests/conformance/queue.test.ts',
  ],
  lambda: ['tests/cloud/invoke.test.ts'],
  ecs: ['tests/cloud/ecs/ecs.test.ts'],
  objects: [
    'tests/cloud/durable-objects.test.ts',
    'tests/cloud/many-objects.test.ts',
    'tests/cloud/kv.test.ts',
  ],
} satisfies Record<string, string[]>
type Driver = keyof typeof FILES

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const REQUIREMENTS = fileURLToPath(new URL('requirements.txt', import.meta.url))
const say = (line: string) => void process.stderr.write(`${line}\n`)

const skipped: string[] = []
const python = await pythonWith('moto', REQUIREMENTS, say)
if ('reason' in python) {
  skipped.push('moto')
  say(`moto is left out: ${python.reason}.`)
}
const folder = mkdtempSync(join(tmpdir(), 'galley-check-cloud-'))
try {
  const report = join(folder, 'report.json')
  const status = await runTests(report, 'bin' in python ? python.bin : '')
  const results: Report = JSON.parse(readFileSync(report, 'utf8'))
  const { drivers, passed, failed } = counted(results)
  const servers = 'bin' in python ? ['fauxqs', 'moto'] : ['fauxqs']
  const excluded = EXCLUDED.filter(({ server }) => servers.includes(server))
  const tests = results.testResults.flatMap(({ assertionResults }) => assertionResults)
  skipped.push(...leftOut(tests, excluded))
  const counts = { check: 'cloud', drivers, passed, failed, skipped, excluded }
  process.stdout.write(`${JSON.stringify(counts)}\n`)
  const isMissing = process.env.CI !== undefined && skipped.length > 0
  if (isMissing) say(`In CI nothing may be left out: ${skipped.join(', ')}.`)
  process.exitCode = failed > 0 || status !== 0 || isMissing ? 1 : 0
} finally {
  rmSync(folder, { recursive: true, force: true })
}

function runTests(report: string, moto: string): Promise<number | null> {
  const files = Object.values(FILES).flat()
  const args = [
    ...['--disable-warning=ExperimentalWarning', 'node_modules/vitest/vitest.mjs', 'run'],
    ...['--config', 'vitest.cloud.config.ts', '--reporter=default', '--reporter=json'],
    ...[`--outputFile.json=${report}`, ...files],
  ]
  const env = { ...process.env, GALLEY_MOTO: moto }
  // The last line of stdout is for the counts alone.
  const child = spawn(process.execPath, args, { cwd: ROOT, env, stdio: ['ignore', 2, 2] })
  return new Promise((resolve, reject) => child.on('error', reject).on('close', resolve))
}

type Report = {
  testResults: { name: string; status: string; assertionResults: Result[] }[]
}

/** A file that could not be loaded, or has nothing to show, is a failure itself. */
function counted({ testResults }: Report) {
  const drivers = Object.fromEntries(
    Object.keys(FILES).map(driver => [driver, { passed: 0 }]),
  ) as Record<Driver, { passed: number }>
  let passed = 0
  let failed = 0
  for (const [driver, files] of Object.entries(FILES) as [Driver, readonly string[]][]) {
    for (const file of files) {
      const found = testResults.find(({ name }) => relative(ROOT, name) === file)
      const tests = found?.assertionResults ?? []
      const broken = tests.filter(({ status }) => status === 'failed').length
      const good = tests.filter(({ status }) => status === 'passed').length
      drivers[driver].passed += good
      passed += good
      failed += broken > 0 || (good > 0 && found?.status === 'passed') ? broken : 1
    }
  }
  return { drivers, passed, failed }
}
