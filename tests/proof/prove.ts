/**
 * `npm run prove -- [features] --cases 2000 [--seed n] [--planted all|none]`: features computed over one
 * entity's events as they come and by SQL over all of them are the same bits; `npm run prove -- decisions`:
 * of decisions on one entity the k-th sees exactly those before it; `npm run prove -- batching`: whoever
 * shares a batch gets exactly its own rows and pays exactly its share. Ends with one line of JSON; exits
 * with 1 when what it shows does not hold.
 */
import { parseArgs } from 'node:util'

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    cases: { type: 'string' },
    seed: { type: 'string', default: String(Date.now() % 1_000_000) },
    planted: { type: 'string', default: 'all' },
    edge: { type: 'string' },
    decisions: { type: 'string', default: '2000' },
  },
})
const [what = 'features'] = positionals
const numbers = (cases: number) => ({
  cases: Number(values.cases ?? cases),
  seed: Number(values.seed),
  planted: values.planted !== 'none',
})
if (what === 'features') {
  const { proveFeatures } = await import('./features/features.ts')
  process.exitCode = (await proveFeatures(numbers(2_000))) ? 0 : 1
} else if (what === 'batching') {
  const { proveBatching } = await import('./batching/batching.ts')
  process.exitCode = (await proveBatching(numbers(6_000))) ? 0 : 1
} else if (what === 'decisions') {
  const { proveDecisions } = await import('./decisions/decisions.ts')
  const { edge, decisions } = values
  const { seed, planted } = numbers(0)
  const isProved = await proveDecisions({ edge, decisions: Number(decisions), seed, planted })
  process.exit(isProved ? 0 : 1)
} else {
  process.stderr.write(`npm run prove -- <features | batching | decisions>, not "${what}"\n`)
  process.exitCode = 2
}
