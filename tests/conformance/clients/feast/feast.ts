/** Feast's Python client reads, with `online_store: {type: remote}` and nothing of it changed. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Product } from '../../../../bench/product.ts'
import { runClient } from '../python.ts'
import { ask } from '../scene.ts'
import { print, type Tally } from '../tally.ts'
import { FEAST_ENV, pythonWithFeast } from './python.ts'

const CLIENT = fileURLToPath(new URL('./client.py', import.meta.url))
const TYPE = {
  fields: {
    card_id: { type: 'string' },
    shop_id: { type: 'int' },
    amount: { type: 'decimal', scale: 2 },
    country: { type: 'string', optional: true },
    at: { type: 'time', optional: true },
  },
  entities: { card: 'card_id', pair: ['card_id', 'shop_id'] },
}
const VIEWS = {
  spend: {
    entity: 'card',
    event_type: 'feast.payment',
    features: {
      n: { agg: 'count', window: '1d' },
      total: { agg: 'sum', of: 'amount', window: '1d' },
      mean: { agg: 'avg', of: 'amount', window: '1d' },
      country: { agg: 'last', of: 'country', ttl: '30d' },
      last_at: { agg: 'last', of: 'at', ttl: '30d' },
      recent: { agg: 'last_k', of: 'amount', k: 2, window: '1d' },
    },
  },
  paired: {
    entity: 'pair',
    event_type: 'feast.payment',
    features: {
      n: { agg: 'count', window: '1d' },
      most: { agg: 'max', of: 'amount', window: '1d' },
    },
  },
}
const SERVICE = {
  features: ['spend:mean', 'paired:n'],
  request: { amount: { type: 'float' } },
  transforms: { ratio: 'request.amount / spend.mean' },
}
/** The client knows what they must give. */
const PAYMENTS = [
  { card_id: 'c1', shop_id: 7, amount: 10.5, country: 'CH', at: '2026-01-02T03:04:05Z' },
  { card_id: 'c1', shop_id: 7, amount: 19.5, country: 'DE', at: '2026-01-02T03:04:06Z' },
  { card_id: 'c2', shop_id: 8, amount: 4.25 },
]
const LEFT_OUT = {
  'feast: write_to_online_store, push':
    'features follow from events, which are sent to /v1/events; nothing writes them',
  'feast: materialize': 'features are always current, there is nothing to load',
  'feast: retrieve_online_documents': 'vectors are not built yet',
  'feast: get_online_features_async': 'the remote store of feast 0.67.0 does not implement it',
}

export async function readsByFeast(product: Product, tally: Tally): Promise<void> {
  const found = await pythonWithFeast(print)
  if ('reason' in found) {
    tally.leaveOut('feast: everything', found.reason)
    return
  }
  const narrow = await setScene(product)
  const folder = mkdtempSync(join(tmpdir(), 'galley-feast-'))
  try {
    await runClient(tally, {
      name: 'feast',
      bin: found.bin,
      script: CLIENT,
      args: [folder, `${product.url}/feast`, product.key, narrow],
      env: FEAST_ENV,
    })
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
  for (const [name, reason] of Object.entries(LEFT_OUT)) tally.leaveOut(name, reason)
}

/** A key that may not read features. */
async function setScene(product: Product): Promise<string> {
  await ask(product, 'PUT', '/v1/event-types/feast.payment', TYPE)
  for (const [name, view] of Object.entries(VIEWS)) {
    await ask(product, 'PUT', `/v1/feature-views/${name}`, view)
  }
  await ask(product, 'PUT', '/v1/feature-services/fraud', SERVICE)
  const events = PAYMENTS.map((data, i) => ({
    specversion: '1.0',
    id: `feast-${i}`,
    source: '/conformance',
    type: 'feast.payment',
    data,
  }))
  const response = await fetch(`${product.url}/v1/events?wait=true`, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${product.key}`,
      'content-type': 'application/cloudevents-batch+json',
    },
    body: JSON.stringify(events),
  })
  if (!response.ok) throw new Error(await response.text())
  const { key } = await ask<{ key: string }>(product, 'POST', '/v1/keys', {
    name: 'reads no features',
    scopes: ['infer'],
  })
  return key
}
