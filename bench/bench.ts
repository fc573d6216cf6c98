/** `npm run bench -- <name>`: one benchmark, whose last line is one JSON object. */
const BENCHMARKS: Record<string, () => Promise<unknown>> = {
  serving: () => import('./serving/serving.ts'),
  overhead: () => import('./overhead/overhead.ts'),
  ingest: () => import('./live/ingest.ts'),
  features: () => import('./live/features.ts'),
  decision: () => import('./live/decision.ts'),
  queue: () => import('./queue.ts'),
  engine: () => import('./engine-host.ts'),
  bulk: () => import('./bulk/bulk.ts'),
  memory: () => import('./memory/memory.ts'),
  'training-set': () => import('./data/training-set.ts'),
  autoscale: () => import('./autoscale/autoscale.ts'),
}

const [name = ''] = process.argv.slice(2)
const start = BENCHMARKS[name]
if (start) await start()
else {
  process.stderr.write(`npm run bench -- <name>, one of: ${Object.keys(BENCHMARKS).join(', ')}\n`)
  process.exitCode = 2
}
