/**
 * `npm run conformance -- features|serving [--edge node|workerd]`: clients of others, as they are published,
 * against the running product on either edge. Ends with one line of JSON; exits with 1 when a case failed,
 * and with 2 when there is none by that name. What cannot be run is named with the reason, and counts as
 * nothing.
 */
import { parseArgs } from 'node:util'
import { type Product, startProduct } from '../../../bench/product.ts'
import { eventsByCloudEvents } from './cloudevents.ts'
import { readsByFeast } from './feast/feast.ts'
import { asksByOpenai } from './serving/openai.ts'
import { infersByPython } from './serving/serving.ts'
import { print, Tally } from './tally.ts'
import { hooksBySigners } from './webhooks.ts'

type Edge = 'node' | 'workerd'
type Suite = (product: Product, tally: Tally, edge: Edge) => Promise<void>

const SUITES: Record<string, Suite[]> = {
  features: [eventsByCloudEvents, hooksBySigners, readsByFeast],
  serving: [asksByOpenai, infersByPython],
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { edge: { type: 'string' } },
})
const [what = 'features'] = positionals
const { edge } = values
const suites = Object.hasOwn(SUITES, what) ? SUITES[what] : undefined
if (!suites || (edge !== undefined && !['node', 'workerd'].includes(edge))) {
  const names = Object.keys(SUITES).join('|')
  process.stderr.write(`npm run conformance -- ${names} [--edge node|workerd]\n`)
  process.exit(2)
}

const tally = new Tally()
for (const each of (edge === undefined ? ['node', 'workerd'] : [edge]) as Edge[]) {
  const product = await startProduct({ edge: each })
  try {
    for (const suite of suites) {
      tally.group(`${each}: `)
      await suite(product, tally, each)
    }
  } finally {
    await product.stop()
  }
}
const { passed, failed } = tally
// Each with the words in which its line was promised first.
const excluded =
  what === 'features'
    ? tally.excluded
    : tally.excluded.map(({ case: name, reason }) => ({ what: name, why: reason }))
print(JSON.stringify({ conformance: what, passed, failed, excluded }))
process.exit(failed === 0 ? 0 : 1)
