/**
 * `npm run check:stacks`: what a deployment would ask of its providers, for each stage, against rules;
 * then a fault for each way to break a rule, to show that it is found. The last line is one JSON object.
 */
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const STACKS = fileURLToPath(new URL('..', import.meta.url))
const ROOT = fileURLToPath(new URL('../..', import.meta.url))

const print = (line: string) => process.stdout.write(`${line}\n`)
const json = (counts: object) => print(JSON.stringify({ check: 'stacks', ...counts }))

const broken = install() ?? types()
if (broken) {
  print(`FAILED  ${broken.trim()}`)
  json({ resources: 0, rules: 0, violations: 1, planted: 0, caught: 0 })
  process.exitCode = 1
} else {
  // Not before the providers are there.
  const { judge } = await import('./judge.ts')
  const { lines, ...counts } = await judge()
  for (const line of lines) print(line)
  json(counts)
  process.exitCode = counts.violations === 0 && counts.caught === counts.planted ? 0 : 1
}

/** The providers' types, in the versions of the lock, apart from what the product itself needs. */
function install(): string | null {
  const lock = createHash('sha256')
    .update(readFileSync(`${STACKS}package-lock.json`))
    .digest('hex')
  const record = `${STACKS}node_modules/.galley-installed`
  if (existsSync(record) && readFileSync(record, 'utf8') === lock) return null
  print('Installing the types of the providers …')
  const npm = process.platform === 'win32' ? 'npm.cmd' : 'npm'
  const args = ['ci', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error']
  const { status, stderr } = spawnSync(npm, args, { cwd: STACKS, encoding: 'utf8' })
  if (status !== 0)
    return `${stderr}\nnpm ci in stacks/ ended with ${status}: check the network and "npm config get registry", then run it again.`
  writeFileSync(record, lock)
  return null
}

/** Every argument against the generated types of the providers. */
function types(): string | null {
  const args = ['node_modules/typescript/bin/tsc', '-p', 'stacks/tsconfig.json']
  const { status, stdout } = spawnSync(process.execPath, args, { cwd: ROOT, encoding: 'utf8' })
  return status === 0 ? null : `${stdout}\nThe types of stacks/ are wrong: see above.`
}
