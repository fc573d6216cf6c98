/**
 * `npm run conformance -- features [--edge node|workerd]`: clients of others, as they are published, against
 * the running product on either edge. Ends with one line of JSON; exits with 1 when a case failed, and with
 * 2 when there is none by that name. What cannot be run is named with the reason, and counts as nothing.
 */
import { parseArgs } from 'node:util'
import { startProduct } from '../../../bench/product.ts'
import { eventsByCloudEvents } from './cloudevents.ts'
import { readsByFeast } from './feast/feast.ts'
import { print, Tally } from './tally.ts'
import { hooksBySigners } from './webhooks.ts'

type Edge = 'node' | 'workerd'

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { edge: { type: 'string' } },
})
const [what = 'features'] = positionals
const { edge } = values
if (what !== 'features' || (edge !== undefined && !['node', 'workerd'].includes(edge))) {
  process.stderr.write('npm run conformance -- features [--edge node|workerd]\n')
  process.exit(2)
}

const tally = new Tally()
for (const each of (edge === undefined ? ['node', 'workerd'] : [edge]) as Edge[]) {
  const product = await startProduct({ edge: each })
  try {
    for (const suite of [eventsByCloudEvents, hooksBySigners, readsByFeast]) {
      tally.group(`${each}: `)
      await suite(product, tally)
    }
  } finally {
    await product.stop()
  }
}
const { passed, failed, excluded } = tally
print(JSON.stringify({ conformance: 'features', passed, failed, excluded }))
process.exit(failed === 0 ? 0 : 1)
