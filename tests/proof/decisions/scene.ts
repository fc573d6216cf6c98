/** What is decided in the proof: payments of one card, by how many there were and how much they came to. */
import { randomUUID } from 'node:crypto'
import type { Client } from '../../chaos/client.ts'
import { upload } from '../../chaos/tenants.ts'
import { mlp } from '../../models.ts'

export const ENDPOINT = 'proof'
export const SOURCE = 'proof'
export const CARD = 'card-1'
const MODEL = 'proof'

const EVENT_TYPE = {
  fields: {
    card_id: { type: 'string' },
    amount: { type: 'decimal', scale: 2, min: 0 },
  },
  entities: { card: 'card_id' },
}
const VIEW = {
  entity: 'card',
  event_type: 'payment',
  features: {
    payments: { agg: 'count', window: '1d' },
    spent: { agg: 'sum', of: 'amount', window: '1d' },
  },
}
const SERVICE = { features: ['velocity:*'], request: { amount: { type: 'decimal', scale: 2 } } }
const DEFINITION = {
  event_type: 'payment',
  gate: 'card',
  service: 'proof',
  model: {
    name: MODEL,
    tensor: 'x',
    output: 'y',
    features: ['velocity.payments', 'velocity.spent', 'request.amount'],
  },
  rules: [{ name: 'often', when: 'velocity.payments >= 1000', answer: 'review' }],
  otherwise: 'approve',
}

/** Sets it up through the public API. */
export async function setScene(client: Client, key: string): Promise<void> {
  const file = await upload(client, key, mlp(3, [3, 8, 1]), 1)
  await client.insist({
    key,
    method: 'POST',
    path: `/v1/registry/models/${MODEL}/versions`,
    body: { files: [{ path: 'model.onnx', sha256: file.sha256, size: file.size }] },
    headers: { 'idempotency-key': randomUUID() },
  })
  const put = (path: string, body: unknown) => client.insist({ key, method: 'PUT', path, body })
  await put('/v1/event-types/payment', EVENT_TYPE)
  await put('/v1/feature-views/velocity', VIEW)
  await put('/v1/feature-services/proof', SERVICE)
  await put(`/v1/decision-endpoints/${ENDPOINT}`, DEFINITION)
}
