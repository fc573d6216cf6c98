/** Decisions in the inference log: each once, with where its features stand and whom it is about; trials never. */
import { setTimeout as sleep } from 'node:timers/promises'
import { beforeAll, expect, test } from 'vitest'
import { mlp } from '#tests/models.ts'
import { named, newTenant, ok, publish, refused } from '../actions.ts'

const EVENT_TYPE = {
  fields: { card_id: { type: 'string' }, amount: { type: 'decimal', scale: 2 } },
  entities: { card: 'card_id' },
}
const VIEW = {
  entity: 'card',
  event_type: 'payment',
  features: { payments: { agg: 'count', window: '1h' } },
}
const SERVICE = {
  features: ['card_velocity:*'],
  request: { amount: { type: 'decimal', scale: 2 } },
}
const LOG = { inference_log: { sample: 1, subject: { entity: 'card', parameter: 'card' } } }

let key = ''
let models: [string, string]
beforeAll(async () => {
  key = (await newTenant()).key
  models = [named('risk'), named('other')]
  for (const [seed, model] of models.entries()) {
    await publish(model, mlp(process.pid + seed, [2, 1]), { key })
    await put(`/v1/registry/models/${model}/serving`, LOG)
  }
  await put('/v1/event-types/payment', EVENT_TYPE)
  await put('/v1/feature-views/card_velocity', VIEW)
  await put('/v1/feature-services/fraud', SERVICE)
  await put('/v1/decision-endpoints/fraud', definitionOf(models[0]))
})

const put = (path: string, body: unknown) => ok('PUT', path, body, { key })
const post = <T>(path: string, body: unknown) => ok<T>('POST', path, body, { key })
const definitionOf = (name: string) => ({
  event_type: 'payment',
  gate: 'card',
  service: 'fraud',
  model: {
    name,
    tensor: 'x',
    output: 'y',
    features: ['card_velocity.payments', 'request.amount'],
  },
  rules: [{ name: 'scored', when: 'score is not null', answer: 'ask' }],
  otherwise: 'approve',
})

type Decision = {
  features: Record<string, number>
  score: number
  model: { version: number; digest: string; receipt: string }
}
type Logged = {
  receipt: string
  features: string | null
  subject: { entity: string; key: string }
  inputs: Record<string, { data: number[] }>
  outputs: Record<string, { data: number[] }>
}

/** What stands in the log, once what was asked last does. */
async function loggedOf(model: string): Promise<Logged[]> {
  const x = { name: 'x', datatype: 'FP32', shape: [1, 2], data: [0, 0] }
  await post(`/v2/models/${model}/infer`, { inputs: [x], parameters: { card: 'last' } })
  for (;;) {
    const path = `/v1/registry/models/${model}/inferences`
    const { data } = await ok<{ data: Logged[] }>('GET', path, undefined, { key })
    if (data.some(({ subject }) => subject.key === 'last')) {
      return data.filter(({ subject }) => subject.key !== 'last')
    }
    await sleep(50)
  }
}

test('a decision stands in the log once, however often it is asked; explanations, replays and backtests do not', async () => {
  const asked = { id: 'p 1', source: 'shop/7', data: { card_id: 'c1', amount: 12.5 } }
  const made = await post<Decision>('/v1/decisions/fraud', { ...asked, explain: true })
  await post('/v1/decisions/fraud', asked)
  const { id, source } = asked
  const stored = `/v1/decisions/fraud/find?id=${encodeURIComponent(id)}&source=shop/7`
  type Stored = { outcome: Decision | null; event: object | null }
  const isThere = async () => {
    const { outcome, event } = await ok<Stored>('GET', stored, undefined, { key })
    return outcome !== null && event !== null
  }
  while (!(await isThere().catch(() => false))) await sleep(50)
  await post('/v1/decisions/fraud/replay', { id, source })
  const backtest = '/v1/decision-endpoints/fraud/backtest'
  const tried = await post<{ compared: number }>(backtest, { definition: definitionOf(models[1]) })
  expect(tried.compared).toBe(1)

  const logged = await loggedOf(models[0])
  expect(logged).toMatchObject([
    {
      receipt: made.model.receipt,
      subject: { entity: 'card', key: 'c1' },
      inputs: { x: { data: [0, 12.5] } },
      outputs: { y: { data: [made.score] } },
    },
  ])
  const told = await ok<Stored>('GET', logged[0]!.features!, undefined, { key })
  expect(told.outcome!.features).toEqual(made.features)
  expect(await loggedOf(models[1])).toEqual([])
})

test('a subject cannot stand in a parameter that means something else', async () => {
  const subject = { entity: 'card', parameter: 'priority' }
  const path = `/v1/registry/models/${models[0]}/serving`
  const body = { inference_log: { sample: 1, subject } }
  const { errors } = await refused('PUT', path, body, 422, 'invalid_body', { key })
  expect(errors![0]!.pointer).toBe('/inference_log/subject/parameter')
})
