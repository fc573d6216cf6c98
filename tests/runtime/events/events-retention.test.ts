/** What is kept and for how long: nothing goes before it is sealed, nothing stays that may go. */
import { expect, test } from 'vitest'
import type { AppError } from '#core/error.ts'
import * as events from '#core/events/events.ts'
import { openSpool } from '#functions/segments/spool.ts'
import type { TenantId } from '#schemas/ids.ts'
import { callOf, inTenant, newTenant } from '#tests/caller.ts'
import { testDatabase } from '#tests/database.ts'
import { eventOf, newScene, TYPE } from './scene.ts'
import { blobsOfTest, HOUR, readLog } from './sealed-log.ts'

const { db, admin } = await testDatabase()
const scene = { ...(await newScene(db)), blobs: blobsOfTest(), openSpool }
const DAY = 24 * HOUR
/** 32 days of repetitions, and two. */
const KEPT_DAYS = 34
scene.clock.forward(-38 * DAY)

async function tenantOf(onlineDays: number): Promise<TenantId> {
  const { tenantId } = await newTenant(db)
  const type = { ...TYPE, online_days: onlineDays }
  await inTenant({ db }, tenantId, unit => events.declare(unit, callOf(tenantId), type))
  return tenantId
}

const sent = (tenantId: TenantId, id: string, retracts?: string) =>
  eventOf(
    tenantId,
    retracts ? { id, retracts } : { id, data: { card: id, amount: 1 } },
    scene.clock.now() * 1_000,
  )
const countOf = async (table: string, tenantId: TenantId) =>
  (await admin.query(`select count(*)::int as n from ${table} where tenant_id = $1`, [tenantId]))
    .rows[0].n
const left = (tenantId: TenantId) =>
  Promise.all(
    ['events', 'event_positions', 'event_keys', 'event_retractions'].map(t => countOf(t, tenantId)),
  )

test('an event that comes again when it was forgotten has a new place, also where nobody has looked since', async () => {
  const own = { ...(await newScene(db)), blobs: scene.blobs, openSpool }
  // Of another day than the others' events: its tables go.
  own.clock.forward(-37 * DAY)
  const tenantId = await tenantOf(1)
  const event = () =>
    eventOf(tenantId, { id: 'a', data: { card: 'a', amount: 1 } }, own.clock.now() * 1_000)
  const first = await events.ingest(own, tenantId, [event()])
  own.clock.forward((KEPT_DAYS + 2) * DAY)
  await events.sealDue(own)
  await events.trimLogs(own)
  expect(await countOf('event_keys', tenantId)).toBe(0)
  const again = await events.ingest(own, tenantId, [event()])
  expect(again.outcomes).toEqual(['stored'])
  expect(again.positions.map(({ seq }) => seq)).toEqual(first.positions.map(({ seq }) => seq + 1))
})

test('rows and keys go when no repetition and no window can need them and they are sealed', async () => {
  const [short, long] = [await tenantOf(1), await tenantOf(60)]
  for (const tenantId of [short, long]) {
    await events.ingest(scene, tenantId, [sent(tenantId, 'a'), sent(tenantId, 'b')])
    // It waits for an event that never comes.
    await events.ingest(scene, tenantId, [sent(tenantId, 'r', 'gone')])
  }
  const before = await readLog(scene, short, TYPE.type)
  scene.clock.forward((KEPT_DAYS + 2) * DAY)
  await events.ingest(scene, short, [sent(short, 'new')])
  await events.trimLogs(scene)
  // Nothing is sealed yet.
  expect(await left(short)).toEqual([4, 3, 4, 1])
  await events.sealDue(scene)
  await events.trimLogs(scene)
  expect(await left(short)).toEqual([1, 1, 1, 0])
  expect(await left(long)).toEqual([3, 2, 3, 1])
  const after = await readLog(scene, short, TYPE.type)
  expect(after).toEqual(expect.arrayContaining(before))
  expect(after).toHaveLength(before.length + 1)
  // The same event again is another one now.
  await events.ingest(scene, short, [sent(short, 'a')])
  expect(await countOf('events', short)).toBe(2)
})

test('the tables of a day go when everybody’s rows are gone from them, and not before', async () => {
  const { rows } = await admin.query(
    `select relname as name from pg_class where relname ~ '^events_\\d{8}$' order by 1`,
  )
  const days = rows.map(({ name }) => name)
  await events.trimLogs(scene)
  const still = await admin.query(
    `select relname as name from pg_class where relname ~ '^events_\\d{8}$' order by 1`,
  )
  // The tenant with 60 online days has rows in the oldest.
  expect(still.rows.map(({ name }) => name)).toEqual(days)
  await admin.query('delete from events')
  await admin.query('delete from event_positions')
  await events.trimLogs(scene)
  const rest = await admin.query(`select 1 from pg_class where relname = $1`, [days[0]])
  expect(rest.rows).toEqual([])
})

test('segments go after the days that the tenant says, files too, and fewer than are needed are refused', async () => {
  const tenantId = await tenantOf(1)
  const call = callOf(tenantId)
  const change = (days: number | null) =>
    inTenant({ db, clock: scene.clock }, tenantId, unit =>
      events.changeSettings(unit, call, { retention_days: days }),
    )
  const error = await change(30).catch((e: AppError) => e)
  expect(error).toMatchObject({ code: 'invalid_definition' })
  expect((error as AppError).public).toContain(`${KEPT_DAYS} days at least`)
  await events.ingest(scene, tenantId, [sent(tenantId, 'x')])
  scene.clock.forward(2 * HOUR)
  await events.sealDue(scene)
  const files = async () => (await scene.blobs.list(`${tenantId}/segments/`)).length
  scene.clock.forward(100 * DAY)
  await events.trimLogs(scene)
  expect(await files()).toBe(1)
  expect(await change(90)).toEqual({ retention_days: 90, kept_days: KEPT_DAYS })
  await events.trimLogs(scene)
  expect(await files()).toBe(0)
  expect(await countOf('event_segments', tenantId)).toBe(0)
  const audited = await admin.query(
    `select detail from audit_log where tenant_id = $1 and action = 'events.settings'`,
    [tenantId],
  )
  expect(audited.rows).toEqual([{ detail: { retention_days: 90 } }])
})
