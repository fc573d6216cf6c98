/** Decisions on payments, from the declaration of events to labels, replays and backtests. */
import { setTimeout as sleep } from 'node:timers/promises'
import { beforeAll, describe, expect, test } from 'vitest'
import { mlp } from '#tests/models.ts'
import { named, newTenant, ok, publish, refused, type Tenant } from './actions.ts'
import { api } from './product.ts'

type Decision = {
  decision: string
  score: number | null
  reasons: { rule: string; answer: string | null }[]
  features: Record<string, unknown>
  model: { name: string; version: number; digest: string; receipt: string } | null
  endpoint: { name: string; version: number }
  event: { source: string; id: string; seq: number; known_at: string }
  repeated: boolean
  explanation?: { method: string; features: { feature: string; change: number }[] }
}
type Stored = { outcome: Decision | null; event: object | null; label: { value: unknown } | null }

const EVENT_TYPE = {
  fields: {
    card_id: { type: 'string' },
    device_id: { type: 'string', optional: true },
    amount: { type: 'decimal', scale: 2, min: 0 },
    country: { type: 'string' },
  },
  entities: { card: 'card_id', device: 'device_id' },
}
const VIEWS = {
  card_velocity: {
    entity: 'card',
    event_type: 'payment',
    features: {
      payments: { agg: 'count', window: '1h' },
      spent: { agg: 'sum', of: 'amount', window: '1h' },
      country: { agg: 'last', of: 'country' },
    },
  },
  device_velocity: {
    entity: 'device',
    event_type: 'payment',
    features: { cards: { agg: 'distinct', of: 'card_id', window: '1d' } },
  },
}
const SERVICE = {
  features: ['card_velocity:*', 'device_velocity:*'],
  request: { amount: { type: 'decimal', scale: 2 }, country: { type: 'string' } },
  transforms: { abroad: 'if(request.country = card_velocity.country, 0, 1)' },
}
const RULES = [
  { name: 'elsewhere', when: 'request.country != card_velocity.country' },
  { name: 'too often', when: 'card_velocity.payments >= 3', answer: 'decline' },
  { name: 'device of many', when: 'device_velocity.cards >= 3', answer: 'review' },
]
const MODEL = {
  tensor: 'x',
  output: 'y',
  features: ['card_velocity:payments', 'card_velocity:spent', 'request.amount', 'abroad'],
}

let tenant: Tenant
let model: string
let definition: Record<string, unknown>

beforeAll(async () => {
  tenant = await newTenant()
  const { key } = tenant
  model = named('risk')
  await publish(model, mlp(11, [4, 6, 1]), { key })
  await put('/v1/event-types/payment', EVENT_TYPE)
  for (const [view, body] of Object.entries(VIEWS)) await put(`/v1/feature-views/${view}`, body)
  await put('/v1/feature-services/fraud', SERVICE)
  definition = {
    event_type: 'payment',
    gate: 'card',
    service: 'fraud',
    model: { ...MODEL, name: model },
    rules: RULES,
    otherwise: 'approve',
  }
  await put('/v1/decision-endpoints/fraud', definition)
})

const keyed = () => ({ key: tenant.key })
const put = <T = Record<string, unknown>>(path: string, body: unknown) =>
  ok<T>('PUT', path, body, keyed())
const post = <T>(path: string, body: unknown) => ok<T>('POST', path, body, keyed())
const get = <T>(path: string) => ok<T>('GET', path, undefined, keyed())

type Data = { card_id?: string; device_id?: string; amount?: number; country?: string }
const data = (card_id: string, more: Data = {}): Data => ({
  card_id,
  amount: 12.34,
  country: 'DE',
  ...more,
})
const decide = (id: string, of: Data, more: object = {}, endpoint = 'fraud') =>
  post<Decision>(`/v1/decisions/${endpoint}`, { id, data: of, ...more })

/** What is told in the background is there in a moment. */
async function found(id: string, is: (stored: Stored) => boolean): Promise<Stored> {
  for (;;) {
    const { status, body } = await api<Stored>(
      'GET',
      `/v1/decisions/fraud/find?id=${id}`,
      undefined,
      keyed(),
    )
    if (status === 200 && is(body)) return body
    await sleep(50)
  }
}
const isWhole = ({ outcome, event }: Stored) => outcome !== null && event !== null

describe('a decision', () => {
  test('sees exactly the payments of its card before it, then its own is one of them', async () => {
    const card = named('card')
    const made: Decision[] = []
    for (const amount of [10, 20.5, 30]) {
      made.push(await decide(named('p'), data(card, { amount })))
    }
    made.push(await decide(named('p'), data(card, { country: 'FR' })))
    expect(made.map(({ features }) => features['card_velocity.payments'])).toEqual([0, 1, 2, 3])
    expect(made.map(({ features }) => features['card_velocity.spent'])).toEqual([
      null,
      10,
      30.5,
      60.5,
    ])
    expect(made.map(({ decision }) => decision)).toEqual([
      'approve',
      'approve',
      'approve',
      'decline',
    ])
    expect(made[3]!.reasons).toEqual([
      { rule: 'elsewhere', answer: null },
      { rule: 'too often', answer: 'decline' },
    ])
    for (const { score, model: by } of made) {
      expect(score).toEqual(expect.any(Number))
      expect(by).toMatchObject({ name: model, version: 1, digest: expect.any(String) })
    }
  })

  test('that is asked again is the same one, and the event is applied once', async () => {
    const card = named('card')
    const id = named('p')
    const first = await decide(id, data(card))
    await decide(named('p'), data(card))
    const again = await decide(id, data(card))
    expect(again).toEqual({ ...first, repeated: true })
    const third = await decide(named('p'), data(card))
    expect(third.features['card_velocity.payments']).toBe(2)
  })

  test('with another body under its id is refused, and nothing is applied', async () => {
    const card = named('card')
    const id = named('p')
    await decide(id, data(card))
    const body = { id, data: data(card, { amount: 99 }) }
    await refused('POST', '/v1/decisions/fraud', body, 409, 'event_conflict', keyed())
    const next = await decide(named('p'), data(card))
    expect(next.features['card_velocity.payments']).toBe(1)
  })

  test('counts an event once that also comes by itself, before or after', async () => {
    const card = named('card')
    const [early, late] = [named('p'), named('p')]
    const event = (id: string) => ({
      specversion: '1.0',
      type: 'payment',
      source: 'shop',
      id,
      data: data(card),
    })
    await sendEvent(event(early))
    expect((await decide(early, data(card), { source: 'shop' })).event.seq).toBeGreaterThan(0)
    await decide(late, data(card), { source: 'shop' })
    await sendEvent(event(late))
    const next = await decide(named('p'), data(card))
    expect(next.features['card_velocity.payments']).toBe(2)
  })

  test('reads further entities, and treats one that is not named as one without events', async () => {
    const device = named('device')
    const make = (of: Data) => decide(named('p'), data(named('card'), of))
    for (let i = 0; i < 3; i++) await make({ device_id: device })
    // Other entities learn of an event by the ordinary way, in a moment.
    for (;;) {
      const { decision, features } = await make({ device_id: device })
      if ((features['device_velocity.cards'] as number) < 3) {
        await sleep(50)
        continue
      }
      expect(decision).toBe('review')
      break
    }
    const without = await make({})
    expect(without.features['device_velocity.cards']).toBe(0)
    expect(without.decision).toBe('approve')
  })

  test('says which features moved the score, to who asks', async () => {
    const card = named('card')
    await decide(named('p'), data(card, { amount: 500 }))
    const { explanation, score } = await decide(
      named('p'),
      data(card, { amount: 80, country: 'FR' }),
      { explain: true },
    )
    expect(explanation!.method).toBe('replaced_by_missing')
    const moved = explanation!.features
    expect(moved.map(({ feature }) => feature).sort()).toEqual([
      'abroad',
      'card_velocity.payments',
      'card_velocity.spent',
      'request.amount',
    ])
    const sizes = moved.map(({ change }) => Math.abs(change))
    expect(sizes).toEqual(sizes.toSorted((a, b) => b - a))
    expect(score).toEqual(expect.any(Number))
  })

  test('of an event that does not fit its contract is refused where it is wrong', async () => {
    const wrong: [object, string][] = [
      [{ id: 'x', data: { ...data('c'), amount: -1 } }, '/data/amount'],
      [{ id: 'x', data: { amount: 1, country: 'DE' } }, '/data/card_id'],
      [{ data: data('c') }, '/id'],
      [{ id: 'x', data: data('c'), more: 1 }, '/more'],
      [{ id: 'x', data: data('c'), time: 'now' }, '/time'],
    ]
    for (const [body, pointer] of wrong) {
      const { errors } = await refused(
        'POST',
        '/v1/decisions/fraud',
        body,
        422,
        'invalid_event',
        keyed(),
      )
      expect(errors![0]!.pointer).toBe(pointer)
    }
  })
})

describe('an endpoint', () => {
  test('keeps its version when nothing changes, and a retry is judged by the version of before', async () => {
    const { version } = await put<{ version: number }>(
      '/v1/decision-endpoints/changing',
      definition,
    )
    expect(await put('/v1/decision-endpoints/changing', definition)).toMatchObject({ version })
    const id = named('p')
    const of = data(named('card'))
    const first = await decide(id, of, {}, 'changing')
    const next = { ...definition, model: undefined, rules: [], otherwise: 'ask' }
    expect(await put('/v1/decision-endpoints/changing', next)).toMatchObject({
      version: version + 1,
    })
    expect(await decide(id, of, {}, 'changing')).toEqual({ ...first, repeated: true })
    const other = await decide(named('p'), of, {}, 'changing')
    expect([other.decision, other.score, other.model]).toEqual(['ask', null, null])
  })

  test('whose alias moves to a model that does not fit applies nothing', async () => {
    const own = named('moving')
    await publish(own, mlp(1, [4, 1]), keyed())
    const body = { ...definition, model: { ...MODEL, name: own } }
    await put('/v1/decision-endpoints/moving', body)
    const card = named('card')
    const { model: by } = await decide(named('p'), data(card), {}, 'moving')
    expect(by!.version).toBe(1)
    await publish(own, mlp(1, [5, 1]), keyed())
    // The edge may know the version of before for a few seconds.
    for (let applied = 1; ; applied++) {
      const body = { id: named('p'), data: data(card) }
      const { status } = await api('POST', '/v1/decisions/moving', body, keyed())
      if (status === 200) {
        await sleep(250)
        continue
      }
      expect(status).toBe(409)
      const next = await decide(named('p'), data(card))
      expect(next.features['card_velocity.payments']).toBe(applied)
      break
    }
  })

  test('is refused where it names what there is not', async () => {
    const { errors } = await refused(
      'PUT',
      '/v1/decision-endpoints/wrong',
      { ...definition, rules: [{ name: 'r', when: 'card_velocity.many > 1', answer: 'no' }] },
      422,
      'invalid_definition',
      keyed(),
    )
    expect(errors![0]!.pointer).toBe('/rules/0/when')
  })
})

describe('afterwards', () => {
  test('a decision is found, labelled, and made again bit for bit', async () => {
    const id = named('p')
    const card = named('card')
    await decide(named('p'), data(card))
    const made = await decide(id, data(card))
    await decide(named('p'), data(card))
    const stored = await found(id, isWhole)
    expect(stored.outcome).toMatchObject({ decision: made.decision, score: made.score })
    const labelled = await post<Stored>('/v1/feedback', { endpoint: 'fraud', id, label: true })
    expect(labelled.label!.value).toBe(true)
    const replay = { equal: true, differs: [] }
    const again = await post<{ replayed: Decision }>('/v1/decisions/fraud/replay', { id })
    expect(again).toMatchObject(replay)
    expect(again.replayed.score).toBe(made.score)
    const unknown = { endpoint: 'fraud', id: 'never', label: 1 }
    await refused('POST', '/v1/feedback', unknown, 404, 'not_found', keyed())
  })

  test('other rules are tried on what was decided, and nothing changes', async () => {
    const tried = await triedOn(3, {
      ...definition,
      rules: [{ name: 'often', when: 'card_velocity.payments >= 2', answer: 'decline' }],
    })
    expect(tried).toMatchObject({ compared: 3, changed: 1 })
    expect(tried.answers).toEqual([
      { from: 'approve', to: 'approve', count: 2, labels: {} },
      { from: 'approve', to: 'decline', count: 1, labels: {} },
    ])
  })

  test('another model is asked about what was decided, where a rule wants its score', async () => {
    const { key } = tenant
    const other = named('other')
    await publish(other, mlp(12, [4, 1]), { key })
    const tried = await triedOn(3, {
      ...definition,
      model: { ...MODEL, name: other },
      rules: [{ name: 'scored', when: 'score is not null', answer: 'ask' }],
    })
    expect(tried).toMatchObject({ compared: 3, changed: 3 })
    expect(tried.answers).toEqual([{ from: 'approve', to: 'ask', count: 3, labels: {} }])
    const asked = {
      inputs: [{ name: 'x', datatype: 'FP32', shape: [1, 4], data: [0, 0, 12.34, 1] }],
    }
    type Reply = { outputs: { data: number[] }[] }
    const { outputs } = await post<Reply>(`/v2/models/${other}/infer`, asked)
    const scores = tried.examples.map(({ score }) => score)
    expect(scores).toContain(outputs[0]!.data[0])
  })
})

type Backtest = {
  compared: number
  changed: number
  answers: object[]
  examples: { score: number }[]
}

/** What the definition would have answered to so many decisions of an endpoint of their own. */
async function triedOn(count: number, changed: object): Promise<Backtest> {
  const endpoint = named('tried').replaceAll('-', '_')
  await put(`/v1/decision-endpoints/${endpoint}`, definition)
  const card = named('card')
  for (let i = 0; i < count; i++) await decide(named('p'), data(card), {}, endpoint)
  for (;;) {
    const path = `/v1/decision-endpoints/${endpoint}/backtest`
    const tried = await post<Backtest>(path, { definition: changed })
    const { version } = await get<{ version: number }>(`/v1/decision-endpoints/${endpoint}`)
    expect(version).toBe(1)
    if (tried.compared >= count) return tried
    await sleep(50)
  }
}

async function sendEvent(event: object): Promise<void> {
  const headers = { 'content-type': 'application/cloudevents+json' }
  const body = Buffer.from(JSON.stringify(event))
  const { status } = await api('POST', '/v1/events?wait=true', body, { ...keyed(), headers })
  expect(status).toBeLessThan(300)
}
