/** Decisions at a stated rate: live features, a model and rules, the event applied and durable. */
import { parseArgs } from 'node:util'
import { Galley } from '#sdk/client.ts'
import { mlp } from '#tests/models.ts'
import { startProduct } from '../product.ts'
import { openLoad } from './load-open.ts'
import { fill, ONE_CALLER_RATE, put, TYPE, views } from './payments.ts'

const { values } = parseArgs({
  args: process.argv.slice(3),
  options: {
    rate: { type: 'string', default: '1000' },
    seconds: { type: 'string', default: '30' },
    events: { type: 'string', default: '50000' },
  },
})
const [rate, seconds] = [Number(values.rate), Number(values.seconds)]
const names = Object.entries(views()).flatMap(([view, { features }]) =>
  Object.keys(features).map(feature => `${view}.${feature}`),
)
const product = await startProduct()
try {
  await put(product, '/v1/event-types/payment', TYPE)
  for (const [name, view] of Object.entries(views()))
    await put(product, `/v1/feature-views/${name}`, view)
  const features = Object.keys(views()).map(name => `${name}:*`)
  await put(product, '/v1/feature-services/bench', { features })
  const galley = new Galley({ baseUrl: product.url, key: product.key })
  await galley.publish('bench', { 'mlp.onnx': mlp(7, [names.length, 32, 1]) })
  await put(product, '/v1/decision-endpoints/bench', {
    event_type: 'payment',
    gate: 'card',
    service: 'bench',
    model: { name: 'bench', tensor: 'x', features: names, output: 'y' },
    rules: [{ name: 'many', when: 'counted.n_10m > 100', answer: 'decline' }],
    otherwise: 'approve',
  })
  await fill(product, Number(values.events), 'before')
  const work = './work/decisions.ts'
  await openLoad(product, {
    work,
    args: { run: 'warm', endpoint: 'bench' },
    rate: rate / 4,
    seconds: 5,
  })
  const load = await openLoad(product, {
    work,
    args: { run: 'load', endpoint: 'bench' },
    rate,
    seconds,
  })
  const one = await openLoad(product, {
    work,
    args: { run: 'one', endpoint: 'bench' },
    rate: ONE_CALLER_RATE,
    seconds: 10,
    connections: 1,
  })
  process.stdout.write(
    `${JSON.stringify({
      bench: 'decision',
      decisions_per_s: load.achieved_per_s,
      asked_per_s: rate,
      p50_ms: load.p50_ms,
      p90_ms: load.p90_ms,
      p99_ms: load.p99_ms,
      max_ms: load.max_ms,
      one_caller: { per_s: one.achieved_per_s, p50_ms: one.p50_ms, p99_ms: one.p99_ms },
      statuses: load.statuses,
    })}\n`,
  )
} finally {
  await product.stop()
}
