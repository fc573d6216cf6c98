/**
 * Events a second that are durable and visible: batches at a stated rate from another process, while a
 * probe sends single events and reads until it sees each.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { startProduct } from '../product.ts'
import { openLoad } from './load-open.ts'
import { fill, payment, put, TYPE, views } from './payments.ts'

const { values } = parseArgs({
  args: process.argv.slice(3),
  options: {
    rate: { type: 'string', default: '10000' },
    seconds: { type: 'string', default: '60' },
    batch: { type: 'string', default: '250' },
  },
})
const [rate, seconds, batch] = [Number(values.rate), Number(values.seconds), Number(values.batch)]
const PROBE_EVERY_MS = 100

const product = await startProduct()
try {
  await put(product, '/v1/event-types/payment', TYPE)
  for (const [name, view] of Object.entries(views()))
    await put(product, `/v1/feature-views/${name}`, view)
  const features = Object.keys(views()).map(name => `${name}:*`)
  await put(product, '/v1/feature-services/bench', { features })
  await fill(product, 5_000, 'before')
  const done = new AbortController()
  const probing = probe(done.signal)
  const load = await openLoad(product, {
    work: './work/events.ts',
    args: { run: 'load', batch },
    rate: rate / batch,
    seconds,
    connections: 16,
  })
  const began = performance.now()
  await placed(`load-${load.requests * batch - 1}`)
  const behindMs = Math.round(performance.now() - began)
  done.abort()
  const visible = (await probing).sort((a, b) => a - b)
  const at = (share: number) => Math.round(visible[Math.floor(visible.length * share)] ?? 0)
  process.stdout.write(
    `${JSON.stringify({
      bench: 'ingest',
      events_per_s: Math.round(load.achieved_per_s * batch),
      asked_per_s: rate,
      seconds,
      batch,
      views: 4,
      windows: 3,
      acknowledged_p50_ms: load.p50_ms,
      acknowledged_p99_ms: load.p99_ms,
      visible_p50_ms: at(0.5),
      visible_p99_ms: at(0.99),
      probes: visible.length,
      last_placed_after_ms: behindMs,
      statuses: load.statuses,
    })}\n`,
  )
} finally {
  await product.stop()
}

/** From the acknowledgement of a single event to the first read that sees it. */
async function probe(signal: AbortSignal): Promise<number[]> {
  const visible: number[] = []
  for (let i = 0; !signal.aborted; i++) {
    const card = `probe${i}`
    await ask('/v1/events', payment('probe', i, card), 'application/cloudevents+json')
    const began = performance.now()
    for (;;) {
      const found = await ask('/v1/features/bench/read', { entities: [{ card }] })
      if (found.results[0].values[0] === 1) break
      if (signal.aborted) return visible
      await sleep(2)
    }
    visible.push(performance.now() - began)
    await sleep(PROBE_EVERY_MS)
  }
  return visible
}

/** Waits until the last event of the load stands in its partition. */
async function placed(id: string): Promise<void> {
  for (let i = 0; i < 600; i++) {
    const headers = { authorization: `Bearer ${product.key}` }
    const response = await fetch(`${product.url}/v1/events/find?source=bench&id=${id}`, { headers })
    const found = (await response.json()) as { positions?: unknown[] }
    if (response.ok && found.positions!.length > 0) return
    await sleep(100)
  }
  throw new Error(`${id} was not placed within a minute`)
}

// biome-ignore lint/suspicious/noExplicitAny: each caller reads the one field that it asked for
async function ask(path: string, body: unknown, type = 'application/json'): Promise<any> {
  const response = await fetch(product.url + path, {
    method: 'POST',
    headers: { authorization: `Bearer ${product.key}`, 'content-type': type },
    body: JSON.stringify(body),
  })
  if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`)
  return response.json()
}
