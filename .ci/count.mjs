/** Adds up what the parts of a run report. Usage: node count.mjs <folder> <part...> */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'

const [folder, ...parts] = process.argv.slice(2)
let passed = 0
let failed = 0
for (const part of parts) {
  const count = countOf(part)
  process.stdout.write(`${part}: ${count.passed} passed, ${count.failed} failed\n`)
  for (const name of count.names) process.stdout.write(`  failed: ${name}\n`)
  passed += count.passed
  failed += count.failed
}
process.stdout.write(`${passed} passed, ${failed} failed\n`)
process.exitCode = failed > 0 || passed === 0 ? 1 : 0

/** A part that ended badly without a failure to show for it, or ran nothing, is a failure itself. */
function countOf(part) {
  const status = readFileSync(join(folder, `${part}.status`), 'utf8').trim()
  const count = reported(part) ?? { passed: 0, failed: 0, names: [] }
  const isSilent = count.failed === 0 && (status !== '0' || count.passed === 0)
  if (!isSilent) return count
  return { ...count, failed: 1, names: [`${part} (exit status ${status}, see above)`] }
}

function reported(part) {
  try {
    if (part === 'check') return steps(part)
    if (['cloud', 'edge', 'functions', 'images'].includes(part)) return counted(part)
    return part === 'stacks' ? rules(part) : vitest(part)
  } catch {
    return null
  }
}

function linesOf(part) {
  return readFileSync(join(folder, `${part}.out`), 'utf8')
    .trim()
    .split('\n')
}

/** Each planted fault is one check, and so is each fault that nobody planted. */
function rules(part) {
  const lines = linesOf(part)
  const { violations, planted, caught } = JSON.parse(lines.at(-1))
  const names = lines.filter(line => /^[A-Z]{3,}/.test(line)).map(line => `${part}: ${line}`)
  return { passed: caught, failed: violations + planted - caught, names }
}

/** Commands that count by themselves; what failed stands above. */
function counted(part) {
  const { passed, failed, skipped = [] } = JSON.parse(linesOf(part).at(-1))
  const names = skipped.map(name => `${part}: ${name} is missing`)
  return { passed, failed: failed + skipped.length, names }
}

function steps(part) {
  const report = JSON.parse(linesOf(part).at(-1))
  const names = report.steps.filter(step => !step.ok).map(step => `${part}: ${step.name}`)
  return { passed: report.passed, failed: report.failed, names }
}

function vitest(part) {
  const report = JSON.parse(readFileSync(join(folder, `${part}.json`), 'utf8'))
  const tests = report.testResults.flatMap(file =>
    file.assertionResults.map(test => ({ ...test, name: `${file.name} > ${test.fullName}` })),
  )
  // A file that could not even be loaded has no tests to show.
  const broken = report.testResults.filter(
    file =>
      file.status === 'failed' && !file.assertionResults.some(test => test.status === 'failed'),
  )
  const names = [...tests.filter(test => test.status === 'failed'), ...broken].map(
    each => each.name,
  )
  return {
    passed: tests.filter(test => test.status === 'passed').length,
    failed: names.length,
    names,
  }
}
