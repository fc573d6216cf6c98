/**
 * `npm run check:edge`: the Worker as wrangler would deploy it to each environment, without an account: its
 * size, its start, and what `wrangler.toml` says. Ends with one line of JSON; exits with 1 when something of
 * it does not hold.
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { AppError } from '#core/error.ts'
import { deployedDomain } from '../env.ts'
import { bundleWorker, GZIP_BYTES_MAX } from './bundle.ts'
import { domainOfWorker, ENVIRONMENTS, faultsOf, SECRETS, settingsOf } from './settings.ts'
import { runWrangler } from './wrangler.ts'

/** Of the time in which an isolate evaluates the bundle. Workers refuse one that takes a second. */
const STARTUP_MS_MAX = 400
/** The quickest counts: whatever else the machine does only makes one slower. */
const STARTS = 3

const say = (line: string) => void process.stderr.write(`${line}\n`)
const folder = mkdtempSync(join(tmpdir(), 'galley-check-edge-'))
const faults: string[] = []
let passed = 0
const holds = (is: boolean, fault: string) => {
  if (is) passed++
  else faults.push(fault)
}

try {
  const { script, gzipBytes } = await bundleWorker(join(folder, 'kept'))
  const domain = deployedDomain() ?? domainOfWorker(await settingsOf('production'))
  const keys = join(folder, 'keys.json')
  writeFileSync(keys, JSON.stringify(Object.fromEntries(SECRETS.map(name => [name, 'x']))))
  for (const name of ENVIRONMENTS) {
    const out = join(folder, name || 'dev')
    mkdirSync(out)
    // As the first deployment of a Worker is called, which refuses without its secrets.
    const first = ['--env', name, '--secrets-file', keys]
    await runWrangler(['deploy', '--dry-run', ...first, '--outdir', out], out)
    const made = readFileSync(join(out, 'worker.js'), 'utf8')
    holds(made === script, `${name || 'dev'}: the bundle is not the one that workerd runs here`)
    const bytes = gzipSync(made).length
    holds(
      bytes <= GZIP_BYTES_MAX,
      `${name || 'dev'}: the bundle has ${bytes} bytes, compressed, and may have ${GZIP_BYTES_MAX}`,
    )
    const wrong = faultsOf(name, await settingsOf(name), domain)
    holds(wrong.length === 0, wrong.join('\n'))
  }
  const startupMs = await startup()
  holds(startupMs <= STARTUP_MS_MAX, `it starts in ${startupMs} ms, and may take ${STARTUP_MS_MAX}`)
  for (const fault of faults) say(`FAILED  ${fault}`)
  report({ gzip_kb: Math.ceil(gzipBytes / 1024), startup_ms: startupMs, failed: faults.length })
} catch (error) {
  say(error instanceof AppError ? error.message : String(error))
  report({ failed: faults.length + 1 })
} finally {
  rmSync(folder, { recursive: true, force: true })
}

function report({ failed, ...measured }: { failed: number } & Record<string, number>): void {
  const line = { check: 'edge', ...measured, passed, failed }
  process.stdout.write(`${JSON.stringify(line)}\n`)
  process.exitCode = failed === 0 ? 0 : 1
}

/** Milliseconds of work, of the bundle for production, as workerd's own profile has it. */
async function startup(): Promise<number> {
  const out = join(folder, 'startup')
  mkdirSync(out)
  const bundle = join(out, 'worker.bundle')
  const profile = join(out, 'startup.cpuprofile')
  const build = ['deploy', '--dry-run', '--env', 'production', '--outfile', bundle]
  await runWrangler(build, out)
  let best = Number.POSITIVE_INFINITY
  for (let start = 0; start < STARTS; start++) {
    await runWrangler(['check', 'startup', '--worker', bundle, '--outfile', profile], out)
    best = Math.min(best, activeMs(JSON.parse(readFileSync(profile, 'utf8'))))
  }
  return best
}

type Profile = {
  nodes: { id: number; callFrame: { functionName: string } }[]
  samples: number[]
  timeDeltas: number[]
}

/** Time of the samples (microseconds in the profile) that were not idle. */
function activeMs({ nodes, samples, timeDeltas }: Profile): number {
  const idle = new Set(
    nodes.filter(({ callFrame }) => callFrame.functionName === '(idle)').map(({ id }) => id),
  )
  const us = samples.reduce((sum, id, at) => sum + (idle.has(id) ? 0 : timeDeltas[at]!), 0)
  return Math.round(us / 100) / 10
}
