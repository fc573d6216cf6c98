/** Payments for benchmarks: what is declared, and requests by number. */
import type { Product } from '../product.ts'

const CARDS = 20_000
/** Requests a second of a caller who waits for each answer: far from what it could ask for. */
export const ONE_CALLER_RATE = 50

export const TYPE = {
  fields: {
    card: { type: 'string' },
    amount: { type: 'decimal', scale: 2 },
    country: { type: 'string' },
    online: { type: 'bool' },
  },
  entities: { card: 'card' },
}
const WINDOWS = ['10m', '1h', '1d']

/** Four views, each over three windows. */
export function views(): Record<string, { features: Record<string, object> }> {
  const of = (name: string, feature: object) => ({
    entity: 'card',
    event_type: 'payment',
    features: Object.fromEntries(
      WINDOWS.map(window => [`${name}_${window}`.toLowerCase(), { ...feature, window }]),
    ),
  })
  return {
    counted: of('n', { agg: 'count' }),
    summed: of('sum', { agg: 'sum', of: 'amount' }),
    averaged: of('avg', { agg: 'avg', of: 'amount' }),
    countries: of('countries', { agg: 'distinct', of: 'country' }),
  }
}

/** One view of fifty features over the same windows. */
export function fifty(): object {
  const aggregates = [
    { agg: 'count' },
    ...['sum', 'avg', 'min', 'max', 'var', 'last', 'first'].map(agg => ({ agg, of: 'amount' })),
    { agg: 'distinct', of: 'country' },
    { agg: 'last', of: 'country' },
  ]
  const windows = ['10m', '1h', '6h', '1d', '7d']
  return {
    entity: 'card',
    event_type: 'payment',
    features: Object.fromEntries(
      windows.flatMap(window =>
        aggregates.map((feature, i) => [`f${i}_${window}`, { ...feature, window }]),
      ),
    ),
  }
}

export async function put(product: Product, path: string, body: unknown): Promise<void> {
  const response = await fetch(product.url + path, {
    method: 'PUT',
    headers: { authorization: `Bearer ${product.key}`, 'content-type': 'application/json' },
    body: JSON.stringify(body),
  })
  if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`)
}

/** The i-th payment of a run: cards in an order without a pattern. */
export function payment(run: string, i: number, card = cardOf(i)): object {
  return {
    specversion: '1.0',
    id: `${run}-${i}`,
    source: 'bench',
    type: 'payment',
    data: {
      card,
      amount: ((i * 7919) % 100_000) / 100,
      country: ['DE', 'FR', 'IT', 'ES'][i % 4],
      online: i % 3 === 0,
    },
  }
}

export function cardOf(i: number): string {
  return `c${(Math.imul(i, 0x9e3779b1) >>> 0) % CARDS}`
}

/** Sends payments until the log has them; for what a benchmark finds there when it begins. */
export async function fill(product: Product, count: number, run: string): Promise<void> {
  const batch = 500
  for (let at = 0; at < count; at += batch) {
    const events = Array.from({ length: Math.min(batch, count - at) }, (_, i) =>
      payment(run, at + i),
    )
    const isLast = at + batch >= count
    const response = await fetch(`${product.url}/v1/events${isLast ? '?wait=true' : ''}`, {
      method: 'POST',
      headers: {
        authorization: `Bearer ${product.key}`,
        'content-type': 'application/cloudevents-batch+json',
      },
      body: JSON.stringify(events),
    })
    if (!response.ok) throw new Error(`${response.status} ${await response.text()}`)
  }
}
