/** Events in the running product: declared, sent in every form, refused, repeated, taken back and listed. */
import { setTimeout as sleep } from 'node:timers/promises'
import { beforeAll, describe, expect, test } from 'vitest'
import { newTenant, ok, type Problem, refused, type Tenant } from '../actions.ts'
import { api } from '../product.ts'

type Position = { id: string; entity: string; entity_key: string; seq: number; known_at: string }
type Shown = {
  id: string
  time: string
  retracts: boolean
  data: Record<string, unknown>
  positions: Position[]
}
type Sent = {
  accepted: number
  duplicates?: number
  rejected: number
  results?: { index: number; status: string; code?: string; detail?: string }[]
  positions?: Position[]
}
type Page = { data: Shown[]; has_more: boolean; next_cursor: string | null; tail: string }

const TYPE = {
  fields: {
    card: { type: 'string' },
    shop: { type: 'string', optional: true },
    amount: { type: 'decimal', scale: 2, min: 0 },
  },
  entities: { card: 'card', pair: ['card', 'shop'] },
}
const BATCH = { 'content-type': 'application/cloudevents-batch+json' }
const event = (id: string, data: object = {}, more: object = {}) => ({
  specversion: '1.0',
  id,
  source: '/till/1',
  type: 'payment',
  data: { card: 'c1', amount: 12.34, ...data },
  ...more,
})

let tenant: Tenant
let key = ''
beforeAll(async () => {
  tenant = await newTenant()
  key = tenant.key
  await ok('PUT', '/v1/event-types/payment', TYPE, { key })
})

const sendAll = (events: unknown[], query = '', status = 202) =>
  ok<Sent>('POST', `/v1/events${query}`, events, { key, headers: BATCH }, status)
const find = (id: string, of = key) =>
  api<Shown>('GET', `/v1/events/find?source=${encodeURIComponent('/till/1')}&id=${id}`, undefined, {
    key: of,
  })

/** Until it is in the log and everywhere where it belongs. */
async function placed(id: string, entities: number): Promise<Shown> {
  for (;;) {
    const { status, body } = await find(id)
    if (status === 200 && body.positions.length === entities) return body
    await sleep(50)
  }
}

describe('sending', () => {
  test('an event in each form of CloudEvents comes into the log and gets a place at each of its entities', async () => {
    const structured = { key, headers: { 'content-type': 'application/cloudevents+json' } }
    await ok('POST', '/v1/events', event('s1', { shop: 'x' }), structured, 202)
    const headers = {
      'ce-specversion': '1.0',
      'ce-id': 'b%201',
      'ce-source': '/till/1',
      'ce-type': 'payment',
      'ce-time': '2026-01-31T12:00:00.5+01:00',
    }
    await ok('POST', '/v1/events', event('').data, { key, headers }, 202)
    expect(await sendAll([event('a1'), event('a2')])).toEqual({ accepted: 2, rejected: 0 })
    expect(await placed('s1', 2)).toMatchObject({
      data: { card: 'c1', shop: 'x', amount: 12.34 },
      positions: [
        { entity: 'card', entity_key: 'c1' },
        { entity: 'pair', entity_key: '["c1","x"]' },
      ],
    })
    expect(await placed('b%201', 1)).toMatchObject({ id: 'b 1', time: '2026-01-31T11:00:00.500Z' })
    await placed('a2', 1)
  })

  test('a batch with one bad event is refused whole, and says where', async () => {
    const events = [event('w1'), event('w2', { amount: 'much' }), { ...event('w3'), type: 'gone' }]
    const options = { key, headers: BATCH }
    const problem = await refused('POST', '/v1/events', events, 422, 'invalid_event', options)
    expect(problem.errors?.map(({ pointer }) => pointer)).toEqual(['/1/data/amount', '/2/type'])
    expect((await find('w1')).status).toBe(404)
    const { results, ...counts } = await sendAll(events, '?partial=true')
    expect(counts).toEqual({ accepted: 1, rejected: 2 })
    expect(results?.map(({ index, status, code }) => [index, status, code])).toEqual([
      [0, 'accepted', undefined],
      [1, 'rejected', 'invalid_event'],
      [2, 'rejected', 'invalid_event'],
    ])
    await placed('w1', 1)
  })

  test('what is no CloudEvent is told the forms there are; what is declared no more than once is a version', async () => {
    const plain = { key, headers: { 'content-type': 'application/json' } }
    await refused('POST', '/v1/events', event('x'), 415, 'unsupported_media_type', plain)
    const again = await ok<{ version: number }>('PUT', '/v1/event-types/payment', TYPE, { key })
    expect(again.version).toBe(1)
    const fields = { ...TYPE.fields, amount: { type: 'int' } }
    const changed = { ...TYPE, fields }
    await refused('PUT', '/v1/event-types/payment', changed, 409, 'conflict', { key })
  })

  test('a new version holds for the next event that this edge takes', async () => {
    await ok('PUT', '/v1/event-types/refund', TYPE, { key })
    await sendAll([{ ...event('v1'), type: 'refund' }])
    const later = { later: { type: 'int', optional: true } }
    const next = { ...TYPE, fields: { ...TYPE.fields, ...later } }
    await ok('PUT', '/v1/event-types/refund', next, { key })
    expect(await sendAll([{ ...event('v2', { later: 5 }), type: 'refund' }])).toMatchObject({
      accepted: 1,
    })
  })
})

describe('repeating', () => {
  test('waiting, a sender gets the positions, and the same ones when it asks again', async () => {
    const first = await sendAll([event('p1'), event('p2', { shop: 'y' })], '?wait=true', 200)
    expect(first).toMatchObject({ accepted: 2, duplicates: 0, rejected: 0 })
    expect(first.positions).toHaveLength(3)
    const again = await sendAll([event('p1'), event('p2', { shop: 'y' })], '?wait=true', 200)
    expect(again).toMatchObject({ accepted: 0, duplicates: 2 })
    const sorted = ({ positions }: Sent) => positions!.map(each => JSON.stringify(each)).sort()
    expect(sorted(again)).toEqual(sorted(first))
  })

  test('another body under the same name is a conflict: at once for who waits, among the rejected for who did not', async () => {
    await sendAll([event('k1')], '?wait=true', 200)
    const options = { key, headers: BATCH }
    const other = [event('k1', { amount: 1 }), event('k2')]
    const problem = await refused(
      'POST',
      '/v1/events?wait=true',
      other,
      409,
      'event_conflict',
      options,
    )
    expect(problem.errors).toMatchObject([{ pointer: '/0' }])
    await sendAll([event('k1', { amount: 2 })])
    const rejected = async () =>
      (await ok<{ data: { id: string }[] }>('GET', '/v1/events/rejected', undefined, { key })).data
    while ((await rejected()).filter(({ id }) => id === 'k1').length < 2) await sleep(50)
    expect((await find('k1')).body.data.amount).toBe(12.34)
    expect((await find('k2')).status).toBe(200)
  })

  test('an event is taken back by its name, before or after it came', async () => {
    const { data: _, ...bare } = event('r1', {}, { retracts: 't1' })
    await sendAll([bare])
    await sendAll([event('t1')])
    expect((await placed('r1', 1)).retracts).toBe(true)
  })
})

describe('reading', () => {
  test('who follows the tail of the log gets each event once', async () => {
    const list = (query: string) => ok<Page>('GET', `/v1/events?${query}`, undefined, { key })
    const { tail } = await list('newest=true&limit=1')
    const ids = Array.from({ length: 5 }, (_, i) => `n${i}`)
    const seen: string[] = []
    let cursor = tail
    for (const id of ids) {
      await sendAll([event(id)], '?wait=true', 200)
      const page = await list(`limit=2&cursor=${encodeURIComponent(cursor)}`)
      seen.push(...page.data.map(each => each.id))
      cursor = page.tail
    }
    expect(seen).toEqual(ids)
  })

  test('nobody sees the events, types or rejections of another tenant', async () => {
    await sendAll([event('f1')], '?wait=true', 200)
    const other = (await newTenant()).key
    const foreign = await find('f1', other)
    expect([foreign.status, (foreign.body as unknown as Problem).code]).toEqual([404, 'not_found'])
    for (const path of ['/v1/events', '/v1/events/rejected', '/v1/event-types']) {
      expect((await ok<Page>('GET', path, undefined, { key: other })).data).toEqual([])
    }
    const options = { key: other, headers: BATCH }
    await refused('POST', '/v1/events', [event('f1')], 422, 'invalid_event', options)
  })
})
