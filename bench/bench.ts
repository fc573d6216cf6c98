/** `npm run bench -- <name>`: one benchmark, whose last line is one JSON object. */
const BENCHMARKS: Record<string, () => Promise<unknown>> = {
  overhead: () => import('./overhead/overhead.ts'),
  ingest: () => import('./ingest.ts'),
  features: () => import('./features.ts'),
  decision: () => import('./decision.ts'),
  queue: () => import('./queue.ts'),
  engine: () => import('./engine-host.ts'),
}

const [name = ''] = process.argv.slice(2)
const start = BENCHMARKS[name]
if (start) await start()
else {
  process.stderr.write(`npm run bench -- <name>, one of: ${Object.keys(BENCHMARKS).join(', ')}\n`)
  process.exitCode = 2
}
