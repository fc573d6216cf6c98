/**
 * Reads of fifty features of one entity, and of a hundred entities at once, at stated rates; and beside
 * Feast's own server on the same values, where there is a Python for it.
 */
import { parseArgs } from 'node:util'
import { startProduct } from '../product.ts'
import { besideFeast } from './feast/beside.ts'
import { openLoad } from './load-open.ts'
import { cardOf, fifty, fill, ONE_CALLER_RATE, put, TYPE } from './payments.ts'

/** As many as one read takes, from which the other server is filled. */
const CARDS_BESIDE = 1_000

const { values } = parseArgs({
  args: process.argv.slice(3),
  options: {
    rate: { type: 'string', default: '4000' },
    seconds: { type: 'string', default: '15' },
    events: { type: 'string', default: '100000' },
  },
})
const [rate, seconds] = [Number(values.rate), Number(values.seconds)]
const product = await startProduct()
try {
  await put(product, '/v1/event-types/payment', TYPE)
  await put(product, '/v1/feature-views/fifty', fifty())
  await put(product, '/v1/feature-services/fifty', { features: ['fifty:*'] })
  await fill(product, Number(values.events), 'before')
  const work = './work/reads.ts'
  const one = { service: 'fifty', entities: 1 }
  await openLoad(product, { work, args: one, rate: rate / 4, seconds: 5 })
  const single = await openLoad(product, { work, args: one, rate, seconds })
  const alone = { work, args: one, rate: ONE_CALLER_RATE, seconds: 10, connections: 1 }
  const oneCaller = await openLoad(product, alone)
  const many = await openLoad(product, {
    work,
    args: { service: 'fifty', entities: 100 },
    rate: 20,
    seconds,
    connections: 8,
  })
  const cards = [...new Set(Array.from({ length: CARDS_BESIDE * 2 }, (_, i) => cardOf(i)))]
  const beside = await besideFeast(product, cards.slice(0, CARDS_BESIDE), text =>
    process.stdout.write(`${text}\n`),
  )
  process.stdout.write(
    `${JSON.stringify({
      bench: 'features',
      reads_per_s: single.achieved_per_s,
      asked_per_s: rate,
      features: 50,
      p50_ms: single.p50_ms,
      p99_ms: single.p99_ms,
      one_caller: {
        per_s: oneCaller.achieved_per_s,
        p50_ms: oneCaller.p50_ms,
        p99_ms: oneCaller.p99_ms,
      },
      of_100_entities: { per_s: many.achieved_per_s, p50_ms: many.p50_ms, p99_ms: many.p99_ms },
      vs_feast: beside.ratio,
      beside_feast: beside,
      statuses: single.statuses,
    })}\n`,
  )
} finally {
  await product.stop()
}
