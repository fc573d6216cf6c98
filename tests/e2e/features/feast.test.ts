/** Reads in the form of Feast's feature server: as its own server answers, and only for whose they are. */
import { beforeAll, describe, expect, test } from 'vitest'
import { named, newTenant, ok, type Tenant } from '../actions.ts'
import { api, product } from '../product.ts'

const BATCH = { 'content-type': 'application/cloudevents-batch+json' }
const EPOCH = '1970-01-01T00:00:00Z'
const PATH = '/feast/get-online-features'

type Result = { values: unknown[]; statuses: string[]; event_timestamps: string[] }
type Read = {
  metadata: {
    feature_names: string[]
    feature_view_metadata?: { name: string; version: number }[]
  }
  results: Result[]
}

let tenant: Tenant
const put = <T>(path: string, body: unknown) => ok<T>('PUT', path, body, { key: tenant.key })
const read = (body: object) => ok<Read>('POST', PATH, body, { key: tenant.key })
/** What the client makes an exception of. */
async function refusal(body: unknown, key = tenant.key) {
  const { status, headers, body: text } = await api<string>('POST', PATH, body, { key })
  expect(headers.get('content-type')).toBe('application/json')
  return { status, ...(JSON.parse(text) as { module: string; class: string; message: string }) }
}

const PAYMENT = {
  fields: {
    card_id: { type: 'string' },
    shop_id: { type: 'int', optional: true },
    amount: { type: 'decimal', scale: 2 },
    paid_at: { type: 'time', optional: true },
  },
  entities: { card: 'card_id', pair: ['card_id', 'shop_id'] },
}
const SPEND = {
  entity: 'card',
  event_type: 'payment',
  features: {
    n: { agg: 'count', window: '1h' },
    avg: { agg: 'avg', of: 'amount', window: '1h' },
    last_at: { agg: 'last', of: 'paid_at', ttl: '30d' },
    recent: { agg: 'last_k', of: 'amount', k: 2, window: '1d' },
  },
}
const PAIRED = {
  entity: 'pair',
  event_type: 'payment',
  features: { n: { agg: 'count', window: '1h' }, sum: { agg: 'sum', of: 'amount', window: '1h' } },
}
const card = named('card')
const nobody = named('nobody')
let at: string

beforeAll(async () => {
  tenant = await newTenant()
  await put('/v1/event-types/payment', PAYMENT)
  await put('/v1/feature-views/spend', SPEND)
  await put('/v1/feature-views/paired', PAIRED)
  await put('/v1/feature-services/fraud', {
    features: ['paired:sum', 'spend:*'],
    request: { amount: { type: 'decimal', scale: 2 } },
    transforms: { ratio: 'request.amount / coalesce(spend.avg, 1)' },
  })
  const event = (id: string, amount: number, more: object) => ({
    specversion: '1.0',
    id,
    source: 'tests',
    type: 'payment',
    data: { card_id: card, shop_id: 7, amount, ...more },
  })
  at = new Date().toISOString()
  const events = [event('1', 10.5, { paid_at: '2026-01-02T03:04:05.5Z' }), event('2', 19.5, {})]
  await ok('POST', '/v1/events?wait=true', events, { key: tenant.key, headers: BATCH })
})

describe('a read', () => {
  test('gives columns: keys as they came, then the features, those of a view together', async () => {
    const features = ['paired:sum', 'spend:avg', 'paired:n', 'spend:last_at', 'spend:recent']
    const entities = { shop_id: [7, 8], card_id: [card, nobody], unheard_of: [1, 2] }
    const { metadata, results } = await read({ features, entities })
    expect(metadata.feature_names).toEqual([
      'shop_id',
      'card_id',
      'sum',
      'n',
      'avg',
      'last_at',
      'recent',
    ])
    expect(results.map(({ values }) => values)).toEqual([
      [7, 8],
      [card, nobody],
      [30, null],
      [2, 0],
      [15, null],
      [null, null],
      [[19.5, 10.5], null],
    ])
    const present = ['PRESENT', 'PRESENT']
    expect(results.map(({ statuses }) => statuses)).toEqual([
      present,
      present,
      ['PRESENT', 'NOT_FOUND'],
      present,
      ['PRESENT', 'NOT_FOUND'],
      ['NULL_VALUE', 'NOT_FOUND'],
      ['PRESENT', 'NOT_FOUND'],
    ])
    const [shop, , sum] = results.map(each => each.event_timestamps)
    expect(shop).toEqual([EPOCH, EPOCH])
    expect(sum![1]).toBe(EPOCH)
    expect(sum![0]! > at).toBe(true)
  })

  test('writes floats with a point, and times in seconds, as its clients tell types', async () => {
    const { url } = await product()
    const body = JSON.stringify({
      features: ['spend:n', 'spend:avg', 'spend:last_at'],
      entities: { card: [card] },
    })
    const headers = { authorization: `Bearer ${tenant.key}`, 'content-type': 'application/json' }
    const text = await (await fetch(url + PATH, { method: 'POST', headers, body })).text()
    expect(text).toContain('{"values":[2],')
    expect(text).toContain('{"values":[15.0],')
  })

  test('of a service takes what comes with the request, by its full names if that is asked for', async () => {
    const entities = { card_id: [card], shop_id: [7], amount: [45] }
    const { metadata, results } = await read({
      feature_service: 'fraud',
      entities,
      full_feature_names: true,
      include_feature_view_version_metadata: true,
    })
    expect(metadata).toEqual({
      feature_names: [
        'card_id',
        'shop_id',
        'paired__sum',
        'spend__n',
        'spend__avg',
        'spend__last_at',
        'spend__recent',
        'fraud__ratio',
      ],
      feature_view_metadata: [
        { name: 'paired', version: 1 },
        { name: 'spend', version: 1 },
      ],
    })
    expect(results.at(-1)).toEqual({
      values: [3],
      statuses: ['PRESENT'],
      event_timestamps: [EPOCH],
    })
    const context = { card_id: [card], shop_id: [7] }
    const same = await read({
      feature_service: 'fraud',
      entities: context,
      request_context: { amount: [45] },
    })
    expect(same.results.at(-1)!.values).toEqual([3])
  })

  test('finds keys by the entity as well as by its fields, alike', async () => {
    const features = ['paired:sum']
    const byFields = await read({ features, entities: { card_id: [card], shop_id: [7] } })
    const byEntity = await read({ features, entities: { pair: [[card, 7]] } })
    expect(byEntity.results.at(-1)!.values).toEqual(byFields.results.at(-1)!.values)
    expect(byEntity.metadata.feature_names).toEqual(['pair', 'sum'])
  })

  test('gives an older version of a view to who names it, and the newest to the others at once', async () => {
    const of = (ref: string) => read({ features: [ref], entities: { card_id: [card] } })
    await put('/v1/feature-views/cheap', { ...SPEND, features: { n: SPEND.features.n } })
    expect((await of('cheap:n')).results.at(-1)!.values).toEqual([2])
    await put('/v1/feature-views/cheap', {
      ...SPEND,
      filter: 'amount < 15',
      features: { n: SPEND.features.n },
    })
    expect((await of('cheap:n')).results.at(-1)!.values).toEqual([1])
    const entities = { card_id: [card] }
    const old = await read({ features: ['cheap@v1:n'], entities, full_feature_names: true })
    expect(old.metadata.feature_names).toEqual(['card_id', 'cheap@v1__n'])
    expect(old.results.at(-1)!.values).toEqual([2])
  })
})

describe('what cannot be read is an error that its client raises by name', () => {
  const entities = { card_id: ['c'] }
  test.each([
    [{ features: ['nope:x'], entities }, 404, 'FeatureViewNotFoundException', '"nope"'],
    [{ features: ['spend@v9:n'], entities }, 404, 'FeatureViewNotFoundException', 'version 9'],
    [{ feature_service: 'nope', entities }, 404, 'FeatureServiceNotFoundException', '"nope"'],
    [{ features: ['spend:x'], entities }, 422, 'FeastError', 'it has n, avg, last_at, recent'],
    [{ features: ['spend'], entities }, 422, 'FeastError', 'view:feature'],
    [{ features: [], entities }, 422, 'FeastError', 'features, or a feature_service'],
    [{ features: ['spend:n', 'paired:n'], entities }, 422, 'FeastError', 'full_feature_names'],
    [{ features: ['paired:n'], entities }, 422, 'FeastError', 'pair, or card_id and shop_id'],
    [{ features: ['spend:n'], entities: { card: [] } }, 422, 'FeastError', '1 to 1000 rows'],
    [{ features: ['spend:n'], entities: { card: [null] } }, 422, 'FeastError', '/entities/card/0'],
    [
      { features: ['spend:n'], entities: { card: ['a'], b: [1, 2] } },
      422,
      'FeastError',
      '"card" has 1, "b" 2',
    ],
    [
      { feature_service: 'fraud', entities: { card_id: ['c'], shop_id: [1] } },
      422,
      'FeastError',
      'takes "amount"',
    ],
    [{ features: ['spend:n'] }, 422, 'FeastError', 'Columns are needed'],
  ])('%j', async (body, status, name, part) => {
    const found = await refusal(body)
    expect([found.status, found.module, found.class]).toEqual([status, 'feast.errors', name])
    expect(found.message).toContain(part)
  })

  test.each([
    ['push', 'POST /v1/events'],
    ['write-to-online-store', 'POST /v1/events'],
    ['materialize', 'always current'],
    ['search', 'Vectors'],
  ])('at /feast/%s, which is not there, with what is instead', async (name, part) => {
    const { status, body } = await api<string>('POST', `/feast/${name}`, {}, { key: tenant.key })
    const { class: kind, message } = JSON.parse(body) as { class: string; message: string }
    expect([status, kind]).toEqual([404, 'FeastObjectNotFoundException'])
    expect(message).toContain(part)
  })

  test('without a key that may read, and for what is another tenant’s', async () => {
    const body = { features: ['spend:n'], entities }
    const stranger = await newTenant()
    const foreign = await refusal(body, stranger.key)
    expect([foreign.status, foreign.class]).toEqual([404, 'FeatureViewNotFoundException'])
    const wrong = await refusal(body, 'gly_live_nothing')
    expect([wrong.status, wrong.class]).toEqual([401, 'FeastError'])
    const made = await ok<{ key: string }>(
      'POST',
      '/v1/keys',
      { name: 'cannot read', scopes: ['infer'] },
      { key: tenant.key },
      201,
    )
    const narrow = await refusal(body, made.key)
    expect([narrow.status, narrow.class]).toEqual([403, 'FeastPermissionError'])
  })
})
