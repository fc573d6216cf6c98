/** Event types: which changes make the next version, which need another type, and what the log then shows. */
import { expect, test } from 'vitest'
import * as events from '#core/events/events.ts'
import { eventTypeBody } from '#schemas/contracts/events.ts'
import { callOf, inTenant, newTenant } from '#tests/caller.ts'
import { testDatabase } from '#tests/database.ts'
import { eventOf, newScene } from './scene.ts'

const { db } = await testDatabase()
const scene = await newScene(db)

const BASE = {
  fields: {
    card: { type: 'string' },
    shop: { type: 'string', optional: true },
    amount: { type: 'decimal', scale: 2, min: 0, max: 100.5 },
    kind: { type: 'string', enum: ['a', 'b'], default: 'a' },
    note: { type: 'string', length_max: 50, optional: true },
  },
  entities: { card: 'card', pair: ['card', 'shop'] },
  online_days: 35,
}
type Definition = { [K in keyof typeof BASE]: unknown }
const withField = (name: string, field: object | undefined): Definition => ({
  ...BASE,
  fields: { ...BASE.fields, [name]: field },
})

async function declarer() {
  const { tenantId } = await newTenant(db)
  return (definition: unknown) =>
    inTenant({ db }, tenantId, unit =>
      events.declare(unit, callOf(tenantId), {
        type: 'payment',
        ...eventTypeBody.parse(JSON.parse(JSON.stringify(definition))),
      }),
    )
}

test('what is declared is shown as it was declared, and the same again makes no version', async () => {
  const declare = await declarer()
  const { created_at: _, ...first } = await declare(BASE)
  expect(first).toEqual({ type: 'payment', version: 1, ...BASE })
  const fields = Object.fromEntries(Object.entries(BASE.fields).reverse())
  expect(await declare({ ...BASE, fields })).toMatchObject({ version: 1 })
})

test.each<[string, Definition]>([
  ['a new optional field', withField('later', { type: 'int', optional: true })],
  ['a new field with a default', withField('later', { type: 'int', default: 3 })],
  ['wider bounds', withField('amount', { type: 'decimal', scale: 2, min: -1, max: 101 })],
  ['no bounds', withField('amount', { type: 'decimal', scale: 2 })],
  ['more members', withField('kind', { type: 'string', enum: ['b', 'c', 'a'], default: 'a' })],
  ['longer texts', withField('note', { type: 'string', length_max: 51, optional: true })],
  ['an optional field', withField('card', { type: 'string', optional: true })],
  ['a new entity', { ...BASE, entities: { ...BASE.entities, shop: 'shop' } }],
  ['more days', { ...BASE, online_days: 36 }],
])('the next version takes %s', async (_, definition) => {
  const declare = await declarer()
  await declare(BASE)
  expect(await declare(definition)).toMatchObject({ version: 2 })
  // And there is no way back.
  await expect(declare(BASE)).rejects.toMatchObject({ code: 'conflict' })
})

test.each<[string, Definition, string]>([
  ['a field less', withField('note', undefined), '"note" is gone'],
  ['another type', withField('amount', { type: 'int' }), 'type of "amount"'],
  ['another scale', withField('amount', { type: 'decimal', scale: 3 }), 'type of "amount"'],
  [
    'narrower bounds',
    withField('amount', { type: 'decimal', scale: 2, min: 0, max: 100 }),
    '"amount" takes less',
  ],
  [
    'new bounds',
    withField('note', { type: 'string', length_max: 49, optional: true }),
    '"note" takes less',
  ],
  [
    'fewer members',
    withField('kind', { type: 'string', enum: ['a'], default: 'a' }),
    '"kind" takes less',
  ],
  [
    'new members where all were',
    withField('card', { type: 'string', enum: ['x'] }),
    '"card" takes less',
  ],
  ['a field that must be there now', withField('shop', { type: 'string' }), '"shop" takes less'],
  ['a new field that must be there', withField('later', { type: 'int' }), '"later" is neither'],
  ['another key', { ...BASE, entities: { ...BASE.entities, card: 'shop' } }, 'entity "card"'],
  ['an entity less', { ...BASE, entities: { card: 'card' } }, 'entity "pair"'],
  ['fewer days', { ...BASE, online_days: 34 }, 'online_days'],
])('%s needs another type, and the refusal says so', async (_, definition, detail) => {
  const declare = await declarer()
  await declare(BASE)
  const refusal = declare(definition)
  await expect(refusal).rejects.toMatchObject({
    code: 'conflict',
    public: expect.stringContaining(detail),
  })
  await expect(refusal).rejects.toMatchObject({ public: expect.stringContaining('payment.v2') })
})

test.each<[string, Definition, string]>([
  [
    'a default that does not fit',
    withField('x', { type: 'int', default: 1.5 }),
    '/fields/x/default',
  ],
  [
    'a bound with too many digits',
    withField('x', { type: 'decimal', scale: 1, min: 0.25 }),
    '/fields/x/min',
  ],
  ['a bound of texts', withField('x', { type: 'string', max: 3 }), '/fields/x/max'],
  ['a scale of ints', withField('x', { type: 'int', scale: 2 }), '/fields/x/scale'],
  ['a key from nowhere', { ...BASE, entities: { card: 'cart' } }, '/entities/card'],
  ['a key of one field as a list', { ...BASE, entities: { card: ['card'] } }, '/entities/card'],
  ['a key of a decimal', { ...BASE, entities: { card: 'amount' } }, '/entities/card'],
])('%s is refused where it is wrong', async (_, definition, pointer) => {
  const declare = await declarer()
  await expect(declare(definition)).rejects.toMatchObject({
    code: 'invalid_definition',
    errors: [{ pointer }],
  })
})

test('the same declared by many at once is one version', async () => {
  const declare = await declarer()
  const made = await Promise.all(Array.from({ length: 8 }, () => declare(BASE)))
  expect(new Set(made.map(({ version }) => version))).toEqual(new Set([1]))
})

test('the log is listed in its order by pages, by type, from its end, and each event is found by its name', async () => {
  const tenantId = await scene.newTenant()
  const made = Array.from({ length: 7 }, (_, i) =>
    eventOf(tenantId, { id: `e${i}`, data: { card: 'c', amount: i } }),
  )
  for (const event of made) await events.ingest(scene, tenantId, [event])
  const conflict = eventOf(tenantId, { id: 'e3', data: { card: 'c', amount: 99 } })
  await events.ingest(scene, tenantId, [conflict])
  await events.ingest(scene, tenantId, [conflict])
  const list = (query: object) =>
    inTenant({ db }, tenantId, unit => events.list(unit, { limit: 3, ...query }))
  const ids = ({ data }: { data: { id: string }[] }) => data.map(({ id }) => id)
  const first = await list({})
  expect(ids(first)).toEqual(['e0', 'e1', 'e2'])
  const second = await list({ cursor: first.next_cursor })
  expect(ids(second)).toEqual(['e3', 'e4', 'e5'])
  expect(ids(await list({ cursor: first.tail }))).toEqual(ids(second))
  expect(await list({ cursor: second.tail })).toMatchObject({ has_more: false, next_cursor: null })
  const newest = await list({ newest: 'true' })
  expect(ids(newest)).toEqual(['e4', 'e5', 'e6'])
  expect(ids(await list({ cursor: newest.tail, newest: 'true' }))).toEqual([])
  expect(ids(await list({ type: 'refund' }))).toEqual([])

  const call = callOf(tenantId)
  const find = (id: string) =>
    inTenant({ db }, tenantId, unit => events.find(unit, call, { source: '/till', id }))
  expect(await find('e3')).toMatchObject({
    id: 'e3',
    data: { card: 'c', amount: 3, shop: null },
    positions: [{ entity: 'card', entity_key: 'c', seq: 4 }],
  })
  await expect(find('e9')).rejects.toMatchObject({ code: 'not_found' })
  const rejected = await inTenant({ db }, tenantId, unit => events.rejected(unit, { limit: 10 }))
  expect(rejected.data).toMatchObject([{ id: 'e3', code: 'event_conflict' }])
  const other = await scene.newTenant()
  const foreign = inTenant({ db }, other, unit => events.list(unit, { limit: 3 }))
  expect(ids(await foreign)).toEqual([])
})
