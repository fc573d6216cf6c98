/** Sealing: at every moment, whoever has died, segments and the rest are the log, each row once. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import * as events from '#core/events/events.ts'
import { openSpool } from '#functions/segments/spool.ts'
import type { Event } from '#schemas/event.ts'
import type { TenantId } from '#schemas/ids.ts'
import { testDatabase } from '#tests/database.ts'
import { eventOf, mortal, newScene, TYPE } from './scene.ts'
import { blobsOfTest, HOUR, loggedRows, readLog, segmentRows } from './sealed-log.ts'

const { db, admin } = await testDatabase()
const scene = { ...(await newScene(db)), blobs: blobsOfTest(), openSpool }
// Days of the future have no tables: what follows moves the clock by hours, again and again.
scene.clock.forward(-38 * 24 * HOUR)

const IDS = 8
type Sent = { id: number } | { retracts: number }
type Step =
  | { do: 'ingest'; sent: Sent[]; lateMs: number; dies: number | null }
  | { do: 'place'; dies: number | null }
  | { do: 'pass'; ms: number }
  | { do: 'seal'; max: number | undefined; dies: number | null }
  | { do: 'seal both'; dies: number }

const one: fc.Arbitrary<Sent> = fc.oneof(
  { weight: 3, arbitrary: fc.record({ id: fc.nat(IDS - 1) }) },
  { weight: 2, arbitrary: fc.record({ retracts: fc.nat(IDS - 1) }) },
)
const dies = fc.option(fc.nat(30))
const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof(
    {
      weight: 4,
      arbitrary: fc.record({
        do: fc.constant('ingest' as const),
        sent: fc.array(one, { minLength: 1, maxLength: 6 }),
        lateMs: fc.constantFrom(0, 0, 90_000, HOUR),
        dies: fc.option(fc.nat(20), { freq: 2 }),
      }),
    },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('place' as const), dies }) },
    {
      weight: 3,
      arbitrary: fc.record({
        do: fc.constant('pass' as const),
        ms: fc.constantFrom(30_000, 20 * 60_000, HOUR),
      }),
    },
    {
      weight: 4,
      arbitrary: fc.record({
        do: fc.constant('seal' as const),
        max: fc.constantFrom(undefined, 1, 3),
        dies,
      }),
    },
    {
      weight: 1,
      arbitrary: fc.record({ do: fc.constant('seal both' as const), dies: fc.nat(12) }),
    },
  ),
  { minLength: 1, maxLength: 12 },
)

function madeOf(tenantId: TenantId, sent: Sent, receivedAt: number): Event {
  if ('retracts' in sent) {
    const raw = { id: `r${sent.retracts}`, retracts: `e${sent.retracts}` }
    return eventOf(tenantId, raw, receivedAt)
  }
  const data = { card: `c${sent.id % 3}`, amount: sent.id, ...(sent.id % 2 && { shop: 's' }) }
  return eventOf(tenantId, { id: `e${sent.id}`, data }, receivedAt)
}

function mustBeDeath(error: Error): void {
  expect(error.message).toMatch(/the process has died|held by another|taken away/)
}

test('segments and what is not sealed are the log, each row once, whoever dies when', async () => {
  await fc.assert(
    fc.asyncProperty(steps, async all => {
      const tenantId = await scene.newTenant()
      const check = async () =>
        expect(await readLog(scene, tenantId, TYPE.type, 3)).toEqual(
          await loggedRows(admin, tenantId),
        )
      for (const step of all) {
        if (step.do === 'pass') scene.clock.forward(step.ms)
        if (step.do === 'place') {
          scene.clock.forward(20_000)
          await events.placeWaiting(mortal(scene, step.dies)).catch(mustBeDeath)
        }
        if (step.do === 'ingest') {
          const receivedAt = (scene.clock.now() - step.lateMs) * 1_000
          const made = step.sent.map(sent => madeOf(tenantId, sent, receivedAt))
          await events.ingest(mortal(scene, step.dies), tenantId, made).catch(mustBeDeath)
        }
        if (step.do === 'seal') {
          const dying = mortal(scene, step.dies)
          await events.sealNext(dying, tenantId, step.max).catch(mustBeDeath)
        }
        if (step.do === 'seal both') {
          const both = [mortal(scene, step.dies), scene]
          await Promise.all(both.map(d => events.sealNext(d, tenantId).catch(mustBeDeath)))
        }
        await check()
      }
      // Nobody dies any more: all of it is sealed, but retractions that wait.
      scene.clock.forward(3 * HOUR)
      await events.placeWaiting(scene)
      while (await events.sealNext(scene, tenantId));
      await check()
      await mustBeSealed(tenantId)
    }),
    { numRuns: 40 },
  )
})

async function mustBeSealed(tenantId: TenantId): Promise<void> {
  const page = await db.tenant(tenantId, tx =>
    events.exported({ tx, clock: scene.clock }, { type: TYPE.type }),
  )
  const { rows: waiting } = await admin.query(
    `select replace(key::text, '-', '') as key from event_retractions
     where tenant_id = $1 and not due`,
    [tenantId],
  )
  expect(page.rows.map(({ key }) => key).sort()).toEqual(waiting.map(({ key }) => key).sort())
  // No file is left that no row names.
  const stored = await scene.blobs.list(`${tenantId}/segments/`)
  expect(stored.map(({ key }) => key).sort()).toEqual(page.segments.map(({ blob }) => blob).sort())
}

const sent = (tenantId: TenantId, i: number) =>
  eventOf(
    tenantId,
    { id: `e${i}`, data: { card: `c${i % 5}`, shop: `s${i % 3}`, amount: i } },
    scene.clock.now() * 1_000,
  )

test('the same rows give the same bytes, in the order of partition and seq, and the manifest says what is in them', async () => {
  const tenantId = await scene.newTenant()
  await events.ingest(
    scene,
    tenantId,
    Array.from({ length: 40 }, (_, i) => sent(tenantId, i)),
  )
  scene.clock.forward(2 * HOUR)
  await events.sealNext(scene, tenantId)
  const manifest = async () =>
    (await db.tenant(tenantId, tx => events.segments({ tx, clock: scene.clock }, { limit: 10 })))
      .data
  const [segment] = await manifest()
  const rows = await segmentRows(await scene.blobs.localFile(`${tenantId}/segments/${segment!.id}`))
  const places = rows.map(({ partition, seq }) => [Number(partition), Number(seq)] as const)
  expect(places).toEqual(places.toSorted(([p, s], [q, t]) => p - q || s - t))
  const marks = Map.groupBy(places, ([partition]) => partition)
  expect(segment!.watermarks).toEqual(
    Object.fromEntries(
      [...marks].map(([p, its]) => [p, [its[0]![1], its.at(-1)![1]] as [number, number]]),
    ),
  )
  expect(segment).toMatchObject({ type: TYPE.type, version: 1, events: 40, rows: 80 })
  const hour = new Date(segment!.hour).getTime()
  expect(hour % HOUR).toBe(0)
  // Made again from the very rows.
  await admin.query('update event_segments set state = $2 where tenant_id = $1', [
    tenantId,
    'writing',
  ])
  await admin.query('update event_seals set number = 0 where tenant_id = $1', [tenantId])
  await events.sealNext(scene, tenantId)
  const again = await manifest()
  expect(again.map(({ sha256 }) => sha256)).toEqual([segment!.sha256])
  expect(again[0]!.id).not.toBe(segment!.id)
})

test('an hour is sealed when it is over and everything in it has its place, and by one at a time', async () => {
  const tenantId = await scene.newTenant()
  const intoHour = HOUR - (scene.clock.now() % HOUR)
  scene.clock.forward(intoHour + 60_000)
  await events.ingest(scene, tenantId, [sent(tenantId, 1)])
  scene.clock.forward(30 * 60_000)
  expect(await events.sealNext(scene, tenantId)).toBe(false)
  // Dies when it is in the log, and before an object has it.
  await events.ingest(mortal(scene, 5), tenantId, [sent(tenantId, 2)]).catch(mustBeDeath)
  scene.clock.forward(HOUR)
  expect(await events.sealNext(scene, tenantId)).toBe(false)
  await events.placeWaiting(scene)
  await admin.query(
    `update event_seals set holder = 'another', held_until = $2 where tenant_id = $1`,
    [tenantId, new Date(scene.clock.now() + 60_000)],
  )
  expect(await events.sealNext(scene, tenantId)).toBe(false)
  scene.clock.forward(61_000)
  expect(await events.sealNext(scene, tenantId)).toBe(true)
  expect(await events.sealNext(scene, tenantId)).toBe(false)
  expect(await readLog(scene, tenantId, TYPE.type)).toEqual(await loggedRows(admin, tenantId))
})

test('who comes back after its lease was taken leaves no file behind that nobody knows of', async () => {
  const tenantId = await scene.newTenant()
  await events.ingest(scene, tenantId, [sent(tenantId, 1)])
  scene.clock.forward(2 * HOUR)
  const { blobs } = scene
  const put: typeof blobs.put = async (...given) => {
    // Asleep before it stores: the next one clears away and seals.
    const ended = 'update event_seals set held_until = null where tenant_id = $1'
    await admin.query(ended, [tenantId])
    expect(await events.sealNext(scene, tenantId)).toBe(true)
    return blobs.put(...given)
  }
  const asleep = events.sealNext({ ...scene, blobs: { ...blobs, put } }, tenantId)
  await expect(asleep).rejects.toMatchObject({ code: 'conflict' })
  await mustBeSealed(tenantId)
})

test('a retraction that waited is sealed with its places, in whichever hour its event came', async () => {
  const tenantId = await scene.newTenant()
  const retraction = { id: 'r', retracts: 'e1' }
  await events.ingest(scene, tenantId, [eventOf(tenantId, retraction, scene.clock.now() * 1_000)])
  scene.clock.forward(2 * HOUR)
  await events.sealNext(scene, tenantId)
  await events.ingest(scene, tenantId, [sent(tenantId, 1)])
  scene.clock.forward(2 * HOUR)
  while (await events.sealNext(scene, tenantId));
  const found = await readLog(scene, tenantId, TYPE.type)
  expect(found).toHaveLength(4)
  expect(found).toEqual(await loggedRows(admin, tenantId))
  await mustBeSealed(tenantId)
})
