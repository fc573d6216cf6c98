/** Checks of a contract: declared with clear errors, held to each event and to each hour, told when they do not hold. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { AppError } from '#core/error.ts'
import { checkedEvent } from '#core/events/contract.ts'
import * as events from '#core/events/events.ts'
import { openSpool } from '#functions/segments/spool.ts'
import { eventTypeBody } from '#schemas/contracts/events.ts'
import type { EventType } from '#schemas/event.ts'
import type { TenantId } from '#schemas/ids.ts'
import { callOf, inTenant, newTenant } from '#tests/caller.ts'
import { testDatabase } from '#tests/database.ts'
import { newScene } from './scene.ts'
import { blobsOfTest, HOUR } from './sealed-log.ts'

const { db, admin } = await testDatabase()
const scene = { ...(await newScene(db)), blobs: blobsOfTest(), openSpool }
scene.clock.forward(-30 * 24 * HOUR)

const FIELDS = {
  card: { type: 'string' as const },
  amount: { type: 'decimal' as const, scale: 2 },
  country: { type: 'string' as const, optional: true as const },
}
type Data = { card: string; amount: number; country?: string }

async function declared(
  checks: Record<string, unknown>,
): Promise<{ id: TenantId; type: EventType }> {
  const { tenantId } = await newTenant(db)
  const body = { fields: FIELDS, entities: { card: 'card', also: 'card' }, checks }
  const definition = { type: 'payment', ...eventTypeBody.parse(body) }
  const clock = scene.clock
  await inTenant({ db, clock }, tenantId, u => events.declare(u, callOf(tenantId), definition))
  const type = await inTenant({ db }, tenantId, unit => events.newestType(unit, 'payment'))
  return { id: tenantId, type: type! }
}

let serial = 0
function eventOf(tenantId: TenantId, type: EventType, data: Data, atMs = scene.clock.now()) {
  const time = new Date(atMs).toISOString()
  const raw = { id: `p${serial++}`, source: 'shop', type: 'payment', time, data }
  return checkedEvent(type, raw, { tenantId, receivedAt: scene.clock.now() * 1_000 })
}

async function send(tenantId: TenantId, type: EventType, all: Data[]): Promise<void> {
  const made = all.map(data => eventOf(tenantId, type, data))
  await events.ingest(
    scene,
    tenantId,
    made.flatMap(each => ('event' in each ? [each.event] : [])),
  )
}

const found = async (tenantId: TenantId) =>
  (await inTenant({ db }, tenantId, unit => events.quality(unit, { limit: 100 }))).data

test('each check measures what counting the events by hand gives, each event once', async () => {
  const one = fc.record({
    card: fc.constantFrom('a', 'b', 'c', 'd', "e'"),
    amount: fc.integer({ min: -300, max: 300 }).map(cents => cents / 100),
    country: fc.option(fc.constantFrom('CH', 'DE', "X'"), { nil: undefined }),
  })
  await fc.assert(
    fc.asyncProperty(fc.array(one, { minLength: 1, maxLength: 30 }), async all => {
      const { id, type } = await declared({
        nulls: { kind: 'null_rate', field: 'country', max: 0.5 },
        amounts: { kind: 'range', field: 'amount', min: -1.1, max: 2.5, max_share: 0.2 },
        countries: { kind: 'set', field: 'country', values: ['CH', "X'"] },
        cards: { kind: 'uniqueness', fields: ['card'], min: 0.5 },
        both: { kind: 'uniqueness', fields: ['card', 'amount'], min: 0.1 },
      })
      await send(id, type, all)
      scene.clock.forward(2 * HOUR)
      while (await events.sealNext(scene, id));
      const there = all.flatMap(({ country }) => country ?? [])
      const share = (some: unknown[], of: unknown[]) => (of.length ? some.length / of.length : null)
      const expected = {
        nulls: share(
          all.filter(({ country }) => country === undefined),
          all,
        ),
        amounts: share(
          all.filter(({ amount }) => amount < -1.1 || amount > 2.5),
          all,
        ),
        countries: share(
          there.filter(country => country === 'DE'),
          there,
        ),
        cards: share([...new Set(all.map(({ card }) => card))], all),
        both: share([...new Set(all.map(({ card, amount }) => `${card} ${amount}`))], all),
      }
      const verdicts = await found(id)
      const value = Object.fromEntries(verdicts.map(({ check, value }) => [check, value]))
      expect(value).toEqual(expected)
      const ok = Object.fromEntries(verdicts.map(({ check, ok }) => [check, ok]))
      expect(ok).toEqual({
        nulls: expected.nulls! <= 0.5,
        amounts: expected.amounts! <= 0.2,
        countries: (expected.countries ?? 0) <= 0,
        cards: expected.cards! >= 0.5,
        both: expected.both! >= 0.1,
      })
    }),
    { numRuns: 25 },
  )
})

test('an event against a check that rejects is refused with what would be right, in the units of its sender', async () => {
  const { id, type } = await declared({
    sane: { kind: 'range', field: 'amount', min: 0.5, max: 99.99, severity: 'reject' },
    near: { kind: 'set', field: 'country', values: ['CH'], severity: 'reject' },
  })
  const refusals = (data: Data) => {
    const checked = eventOf(id, type, data)
    return 'errors' in checked ? checked.errors : []
  }
  expect(refusals({ card: 'a', amount: 99.99, country: 'CH' })).toEqual([])
  expect(refusals({ card: 'a', amount: 0.5 })).toEqual([])
  expect(refusals({ card: 'a', amount: 100, country: 'DE' })).toEqual([
    { pointer: '/data/country', detail: 'near: it must be one of CH.' },
    { pointer: '/data/amount', detail: 'sane: it must be at least 0.5 and at most 99.99.' },
  ])
})

test('an hour without events is judged too, and a breach comes into the tenant’s own log, once', async () => {
  scene.clock.forward(HOUR - (scene.clock.now() % HOUR))
  const { id, type } = await declared({
    some: { kind: 'volume', min: 2 },
    fresh: { kind: 'freshness', max_s: 1_800 },
  })
  scene.clock.forward(1_000)
  await send(id, type, [
    { card: 'a', amount: 1 },
    { card: 'b', amount: 1 },
  ])
  const pass = async () => {
    scene.clock.forward(HOUR + 180_000 - (scene.clock.now() % HOUR))
    await events.sealDue(scene)
    await events.checkQuality(scene)
    await events.checkQuality(scene)
    const all = await found(id)
    const hour = Math.max(...all.map(each => Date.parse(each.hour)))
    return all.filter(each => Date.parse(each.hour) === hour)
  }
  expect(await pass()).toMatchObject([
    { check: 'fresh', ok: false, value: 3_599, max: 1_800, segment: null },
    { check: 'some', ok: true, value: 2, min: 2 },
  ])
  expect(await pass()).toMatchObject([
    { check: 'fresh', ok: false, value: 7_199 },
    { check: 'some', ok: false, value: 0 },
  ])
  const told = await admin.query(
    `select data->>'check' as "check", data->>'value' as value from events
     where tenant_id = $1 and type = 'galley.quality.breached' order by 1, 2`,
    [id],
  )
  expect(told.rows).toEqual([
    { check: 'fresh', value: '3599' },
    { check: 'fresh', value: '7199' },
    { check: 'some', value: '0' },
  ])
})

test('hours that ended while nobody was there are judged when somebody is, each by what there was then', async () => {
  scene.clock.forward(HOUR - (scene.clock.now() % HOUR))
  const { id, type } = await declared({
    some: { kind: 'volume', min: 1 },
    fresh: { kind: 'freshness', max_s: 1_800 },
  })
  scene.clock.forward(1_000)
  await send(id, type, [{ card: 'a', amount: 1 }])
  scene.clock.forward(3 * HOUR)
  await send(id, type, [{ card: 'b', amount: 1 }])
  scene.clock.forward(HOUR + 180_000 - (scene.clock.now() % HOUR))
  for (let i = 0; i < 3; i++) await events.sealDue(scene)
  await events.checkQuality(scene)
  const all = await found(id)
  all.sort((a, b) => Date.parse(a.hour) - Date.parse(b.hour) || a.check.localeCompare(b.check))
  expect(all.map(({ check, value }) => [check, value])).toEqual([
    ['fresh', 3_599],
    ['some', 1],
    ['fresh', 7_199],
    ['some', 0],
    ['fresh', 10_799],
    ['some', 0],
    ['fresh', 3_599],
    ['some', 1],
  ])
})

const wrong: [string, Record<string, unknown>, string][] = [
  ['gone', { kind: 'range', field: 'gone', min: 1 }, 'payment has no field "gone"; it has card'],
  ['text', { kind: 'range', field: 'card', min: 1 }, 'A range is of numbers; "card" is string.'],
  ['open', { kind: 'range', field: 'amount' }, 'It needs min, max or both.'],
  ['turned', { kind: 'volume', min: 2, max: 1 }, 'min is 2, which is more than max, 1'],
  ['digits', { kind: 'range', field: 'amount', max: 0.001 }, '0.001 is no value of the field'],
  ['never', { kind: 'null_rate', field: 'card', max: 0 }, '"card" is never null'],
  ['member', { kind: 'set', field: 'country', values: [1] }, '1 is no value of the field'],
]
test.each(wrong)(
  'a check that cannot be held is refused when it is declared: %s',
  async (name, check, says) => {
    const error: AppError = await declared({ [name]: check }).catch(e => e)
    expect(error.code).toBe('invalid_definition')
    expect(error.public).toContain(says)
    expect(error.errors?.[0]?.pointer).toBe(`/checks/${name}`)
  },
)

test('types of the platform’s own are not declared by others', async () => {
  const { tenantId } = await newTenant(db)
  const definition = { type: 'galley.x', fields: FIELDS, entities: {}, online_days: 1 }
  const error = await inTenant({ db }, tenantId, unit =>
    events.declare(unit, callOf(tenantId), definition),
  ).catch((e: AppError) => e.public)
  expect(error).toContain('"galley.x" needs another name')
})
