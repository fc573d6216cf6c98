/** Features, from a definition to a read: the same numbers for whoever asks, and only for whose they are. */
import { beforeAll, describe, expect, test } from 'vitest'
import { type Job, named, newTenant, ok, refused, settled, type Tenant } from '../actions.ts'
import { api } from '../product.ts'

const BATCH = { 'content-type': 'application/cloudevents-batch+json' }
const SOURCE = 'tests'

type Read = {
  service: string
  version: number
  features: string[]
  results: {
    values: unknown[]
    statuses: string[]
    freshness: { entity: string; partition: number; seq: number; at: string }[]
  }[]
}
type Sent = { accepted: number; positions: { partition: number; seq: number; known_at: string }[] }

let tenant: Tenant
const put = <T>(path: string, body: unknown) => ok<T>('PUT', path, body, { key: tenant.key })
const read = (service: string, body: unknown, key = tenant.key) =>
  ok<Read>('POST', `/v1/features/${service}/read`, body, { key })

const PAYMENT = {
  fields: {
    card: { type: 'string' },
    amount: { type: 'decimal', scale: 2, min: 0 },
    country: { type: 'string', optional: true },
  },
  entities: { card: 'card' },
}
const VELOCITY = {
  entity: 'card',
  event_type: 'payment',
  filter: 'amount > 0.5',
  features: {
    count_1h: { agg: 'count', window: '1h' },
    sum_1h: { agg: 'sum', of: 'amount', window: '1h' },
    avg_1d: { agg: 'avg', of: 'amount', window: '1d', hop: '15m' },
    last_country: { agg: 'last', of: 'country', ttl: '30d' },
    recent: { agg: 'last_k', of: 'amount', k: 2, window: '1d' },
  },
}
const SERVICE = {
  features: ['velocity:*'],
  request: { amount: { type: 'decimal', scale: 2 } },
  transforms: { ratio: 'request.amount / coalesce(velocity.avg_1d, 1)' },
}

const payment = (card: string, amount: number, more: object = {}) => ({
  specversion: '1.0',
  id: named('payment'),
  source: SOURCE,
  type: 'payment',
  data: { card, amount, ...more },
})
const send = (events: object[]) =>
  ok<Sent>('POST', '/v1/events?wait=true', events, { key: tenant.key, headers: BATCH })

beforeAll(async () => {
  tenant = await newTenant()
  await put('/v1/event-types/payment', PAYMENT)
  await put('/v1/feature-views/velocity', VELOCITY)
  await put('/v1/feature-services/fraud', SERVICE)
})

describe('a read', () => {
  test('gives every feature in order, in units, with its status and how fresh it is', async () => {
    const card = named('card')
    const { positions } = await send([
      payment(card, 10.5, { country: 'DE' }),
      payment(card, 20),
      payment(card, 0.25),
    ])
    const found = await read('fraud', {
      entities: [{ card }, { card: named('nobody') }],
      request: [{ amount: 30.5 }, { amount: 3 }],
    })
    expect(found.features).toEqual([
      'velocity:count_1h',
      'velocity:sum_1h',
      'velocity:avg_1d',
      'velocity:last_country',
      'velocity:recent',
      'ratio',
    ])
    const [known, unknown] = found.results
    expect(known!.values).toEqual([2, 30.5, 15.25, null, [20, 10.5], 2])
    expect(known!.statuses).toEqual([
      'PRESENT',
      'PRESENT',
      'PRESENT',
      'NULL_VALUE',
      'PRESENT',
      'PRESENT',
    ])
    expect(known!.freshness[0]).toMatchObject({ entity: 'card', seq: positions.at(-1)!.seq })
    expect(known!.freshness[0]!.at > positions.at(-1)!.known_at).toBe(true)
    expect(unknown!.values).toEqual([0, null, null, null, null, 3])
    expect(unknown!.statuses.slice(0, 5)).toEqual(['PRESENT', ...Array(4).fill('NOT_FOUND')])
  })

  test('sees an event when its seq is asked for, and says when it is not there yet', async () => {
    const card = named('card')
    const { positions } = await send([payment(card, 5)])
    const { partition, seq } = positions[0]!
    const entities = [{ card }]
    const found = await read('fraud', { entities, min_seq: { [partition]: seq } })
    expect(found.results[0]!.values[0]).toBe(1)
    const path = '/v1/features/fraud/read'
    const early = { entities, min_seq: { [partition]: seq + 1 } }
    const { detail } = await refused('POST', path, early, 425, 'not_fresh', { key: tenant.key })
    expect(detail).toBe(`Partition ${partition} is at seq ${seq}; ${seq + 1} was asked for.`)
  })

  test('no longer sees what was taken back, nor what comes after it was', async () => {
    const card = named('card')
    const first = payment(card, 5)
    const late = payment(card, 7)
    const retraction = (of: { id: string }) => ({
      ...payment(card, 0),
      data: undefined,
      retracts: of.id,
    })
    await send([first, payment(card, 6), retraction(first), retraction(late)])
    await send([late])
    const found = await read('fraud', { entities: [{ card }] })
    expect(found.results[0]!.values.slice(0, 2)).toEqual([1, 6])
  })

  test('of many entities answers each in its place', async () => {
    const cards = Array.from({ length: 100 }, () => named('card'))
    await send(cards.flatMap((card, i) => Array.from({ length: i % 3 }, () => payment(card, 2))))
    const found = await read('fraud', { entities: cards.map(card => ({ card })) })
    expect(found.results.map(({ values }) => values[0])).toEqual(cards.map((_, i) => i % 3))
  })

  test.each([
    [{}, '/entities: A list of 1 to 1000 rows is needed, such as [{"card": "c1"}].'],
    [
      { entities: [{ shop: 'm' }] },
      '/entities/0/card: The service reads features of "card", and its key is missing.',
    ],
    [
      { entities: [{ card: 1.5 }] },
      '/entities/0/card: The key of "card" must be a text, a whole number or a list of them.',
    ],
    [
      { entities: [{ card: 'c' }], request: [{ amount: 1.234 }] },
      '/request/0/amount: It must be a number with at most 2 digits after the point.',
    ],
    [
      { entities: [{ card: 'c' }], request: [{ price: 1 }] },
      '/request/0/price: The service takes no request field "price"; it takes amount.',
    ],
    [{ entities: [{ card: 'c' }], rows: 1 }, '/rows: A read takes entities, request and min_seq.'],
  ])('that is wrong is told what and where: %j', async (body, says) => {
    const path = '/v1/features/fraud/read'
    const { detail } = await refused('POST', path, body, 422, 'invalid_body', { key: tenant.key })
    expect(detail).toBe(says)
  })

  test('of another tenant’s service, or of none, is the same 404', async () => {
    const other = await newTenant()
    const ask = (service: string) =>
      refused(
        'POST',
        `/v1/features/${service}/read`,
        { entities: [{ card: 'c' }] },
        404,
        'not_found',
        {
          key: other.key,
        },
      )
    const texts = [
      (await ask('fraud')).detail,
      (await ask('nothing')).detail.replace('nothing', 'fraud'),
    ]
    expect(texts[0]).toBe(texts[1])
  })
})

describe('a definition', () => {
  test('that is the same changes nothing; one that changes a value is the next version', async () => {
    const name = named('view').replaceAll('-', '_')
    const first = await put<{ version: number; hash: string }>(
      `/v1/feature-views/${name}`,
      VELOCITY,
    )
    expect(await put(`/v1/feature-views/${name}`, VELOCITY)).toMatchObject({
      version: 1,
      hash: first.hash,
    })
    const wider = { ...VELOCITY, features: { count_1h: { agg: 'count', window: '2h' } } }
    const planned = await ok('POST', `/v1/feature-views/${name}/plan`, wider, { key: tenant.key })
    expect(planned).toMatchObject({ change: 'next', version: 2 })
    expect(
      await ok('GET', `/v1/feature-views/${name}`, undefined, { key: tenant.key }),
    ).toMatchObject({ version: 1 })
    expect(await put(`/v1/feature-views/${name}`, wider)).toMatchObject({ version: 2 })
  })

  test('of a service keeps the versions that it pinned until it is applied again', async () => {
    const view = named('view').replaceAll('-', '_')
    const service = named('service').replaceAll('-', '_')
    const of = (window: string) => ({ ...VELOCITY, features: { n: { agg: 'count', window } } })
    await put(`/v1/feature-views/${view}`, of('1h'))
    await put(`/v1/feature-services/${service}`, { features: [`${view}:n`] })
    await put(`/v1/feature-views/${view}`, of('2h'))
    const path = `/v1/feature-services/${service}`
    const pinned = () =>
      ok<{ views: { version: number }[] }>('GET', path, undefined, { key: tenant.key })
    expect((await pinned()).views[0]!.version).toBe(1)
    const proof = { kind: 'proof', view }
    const job = await ok<Job>('POST', '/v1/jobs', proof, { key: tenant.key }, 202)
    await settled(job.id, tenant.key)
    await put(path, { features: [`${view}:n`] })
    expect((await pinned()).views[0]!.version).toBe(2)
  })

  test.each<[string, object, string, string]>([
    [
      '/v1/feature-views/bad',
      { ...VELOCITY, entity: 'shop' },
      '/entity',
      'Events of payment tell nothing about "shop"; they tell about card.',
    ],
    [
      '/v1/feature-views/bad',
      { ...VELOCITY, event_type: 'nothing' },
      '/event_type',
      'There is no event type "nothing"; declare it first.',
    ],
    [
      '/v1/feature-views/bad',
      { ...VELOCITY, filter: 'amount > ' },
      '/filter',
      'Here a value is expected, but it ends (at character 9 of "amount > ")',
    ],
    [
      '/v1/feature-views/bad',
      { ...VELOCITY, features: { f: { agg: 'sum', of: 'country', window: '1h' } } },
      '/features/f/agg',
      'sum is of numbers, and the field is string.',
    ],
    [
      '/v1/feature-views/bad',
      { ...VELOCITY, features: { f: { agg: 'count' } } },
      '/features/f/window',
      'count needs a window, such as "1h".',
    ],
    [
      '/v1/feature-views/bad',
      { ...VELOCITY, features: { f: { agg: 'count', window: '90d' } } },
      '/features',
      'The longest window is 90 days, and events of payment are kept online for 40: declare the type with more online_days, or look back less.',
    ],
    [
      '/v1/feature-services/bad',
      { features: ['velocity:nothing'] },
      '/features/0',
      'The view "velocity" has no feature "nothing"; it has count_1h, sum_1h, avg_1d, last_country, recent.',
    ],
    [
      '/v1/feature-services/bad',
      { ...SERVICE, transforms: { x: 'request.price + 1' } },
      '/transforms/x',
      'There is no request.price here; there are velocity.count_1h, velocity.sum_1h, velocity.avg_1d, velocity.last_country, velocity.recent, request.amount (at character 1 of "request.price + 1")',
    ],
  ])('that is wrong is told what and where: %s %#', async (path, body, pointer, says) => {
    const options = { key: tenant.key }
    const { detail, errors } = await refused('PUT', path, body, 422, 'invalid_definition', options)
    expect([errors?.[0]?.pointer, detail]).toEqual([pointer, says])
  })

  test('that smells of the answer is applied with a warning', async () => {
    await put('/v1/event-types/labelled', {
      fields: { card: { type: 'string' }, is_fraud: { type: 'bool' } },
      entities: { card: 'card' },
    })
    const applied = await put<{ warnings: { pointer: string }[] }>('/v1/feature-views/leaky', {
      entity: 'card',
      event_type: 'labelled',
      features: { f: { agg: 'last', of: 'is_fraud' } },
    })
    expect(applied.warnings.map(({ pointer }) => pointer)).toEqual(['/features/f/of'])
  })
})

test('an event type changes only so that every event of before fits', async () => {
  const type = named('type')
  const path = `/v1/event-types/${type}`
  await put(path, PAYMENT)
  const wider = {
    ...PAYMENT,
    fields: { ...PAYMENT.fields, shop: { type: 'string', optional: true } },
  }
  expect(await put(path, wider)).toMatchObject({ version: 2 })
  expect(await put(path, wider)).toMatchObject({ version: 2 })
  const narrower = { ...wider, fields: { ...wider.fields, shop: { type: 'string' } } }
  const { status, body } = await api<{ detail: string }>('PUT', path, narrower, { key: tenant.key })
  expect([status, body.detail]).toEqual([
    409,
    `The field "shop" takes less than before. That would not fit events of before: declare another type, such as "${type}.v2".`,
  ])
})
