/**
 * `npm run check:functions`: each bundle within its budget, made twice with the same bytes, run as Lambda runs
 * it, and its cold start measured. Ends with one line of JSON; exits with 1 when something of it failed.
 */
import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { arch, tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type Bundle, bundleFunction } from '#local/lambda/bundle.ts'
import type { Arch } from '#local/lambda/native.ts'
import { FUNCTION_NAMES } from '#schemas/cloud/functions.ts'
import { startCloud } from './cloud.ts'

/** The middle one counts: a first start also reads files that are not in memory yet. */
const STARTS = 3
const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const say = (line: string) => void process.stderr.write(`${line}\n`)

const folder = mkdtempSync(join(tmpdir(), 'galley-check-functions-'))
try {
  const made = await makeAll(join(folder, 'bundles'))
  const again = await makeAll(join(folder, 'again'))
  const faults = made.flatMap((bundle, at) => {
    const { name, over } = bundle
    const differs = digestOf(bundle.folder) !== digestOf(again[at]!.folder)
    return [
      ...(over ? [`${name} is over its budget: ${over}.`] : []),
      ...(differs ? [`${name} was made twice from the same sources, and differs.`] : []),
    ]
  })
  for (const fault of faults) say(`FAILED  ${fault}`)
  const tests = await runTests(join(folder, 'bundles'), join(folder, 'report.json'))
  const initMs = await coldStarts(join(folder, 'bundles'))
  const bundles = made.map(({ name, codeKb, nativeKb }) => [
    name,
    { zip_kb: codeKb + nativeKb, code_kb: codeKb, init_ms: initMs.get(name) },
  ])
  const passed = tests.passed + 2 * made.length - faults.length
  const failed = tests.failed + faults.length
  const report = { check: 'functions', bundles: Object.fromEntries(bundles), passed, failed }
  process.stdout.write(`${JSON.stringify(report)}\n`)
  process.exitCode = failed === 0 ? 0 : 1
} finally {
  rmSync(folder, { recursive: true, force: true })
}

function makeAll(outFolder: string): Promise<Bundle[]> {
  const o = { outFolder, arch: arch() as Arch }
  return Promise.all(FUNCTION_NAMES.map(name => bundleFunction(name, o)))
}

function digestOf(folder: string): string {
  const hash = createHash('sha256')
  const files = readdirSync(folder, { recursive: true, withFileTypes: true })
  const paths = files.filter(file => file.isFile()).map(file => join(file.parentPath, file.name))
  for (const path of paths.sort()) {
    hash.update(`${path.slice(folder.length)}\n`).update(readFileSync(path))
  }
  return hash.digest('hex')
}

/** A file that could not be loaded, or has nothing to show, is a failure itself. */
async function runTests(bundles: string, report: string) {
  const args = [
    ...['--disable-warning=ExperimentalWarning', 'node_modules/vitest/vitest.mjs', 'run'],
    ...['--config', 'vitest.lambda.config.ts', '--reporter=default', '--reporter=json'],
    `--outputFile.json=${report}`,
  ]
  const env = { ...process.env, GALLEY_BUNDLES: bundles }
  // The last line of stdout is for the counts alone.
  const child = spawn(process.execPath, args, { cwd: ROOT, env, stdio: ['ignore', 2, 2] })
  await new Promise((resolve, reject) => child.on('error', reject).on('close', resolve))
  const { testResults } = JSON.parse(readFileSync(report, 'utf8')) as Report
  const counts = testResults.map(({ status, assertionResults: tests }) => {
    const good = tests.filter(test => test.status === 'passed').length
    const bad = tests.filter(test => test.status === 'failed').length
    return { passed: good, failed: bad > 0 || (good > 0 && status === 'passed') ? bad : 1 }
  })
  const sum = (of: 'passed' | 'failed') => counts.reduce((all, each) => all + each[of], 0)
  return { passed: sum('passed'), failed: counts.length === 0 ? 1 : sum('failed') }
}

type Report = { testResults: { status: string; assertionResults: { status: string }[] }[] }

/** Milliseconds from the start of a process until it asks for its first invocation. */
async function coldStarts(bundles: string): Promise<Map<string, number>> {
  const cloud = await startCloud(bundles)
  const found = new Map<string, number>()
  try {
    for (const name of FUNCTION_NAMES) {
      const times: number[] = []
      for (let start = 0; start < STARTS; start++) {
        const host = await cloud.start(name)
        times.push(await host.initMs)
        await host.close()
      }
      found.set(name, times.sort((a, b) => a - b)[(STARTS - 1) / 2]!)
      say(`${name}: cold start ${found.get(name)} ms (${times.join(', ')})`)
    }
  } finally {
    await cloud.close()
  }
  return found
}
