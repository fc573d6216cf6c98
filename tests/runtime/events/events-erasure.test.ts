/** Erasure: whoever dies in between, in the end nothing that was kept holds the subject, and the rest is untouched. */
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import * as decisions from '#core/decisions/decisions.ts'
import type { AppError } from '#core/error.ts'
import * as events from '#core/events/events.ts'
import { openSpool, spoolsIn } from '#functions/segments/spool.ts'
import type { Snapshot } from '#schemas/decision.ts'
import type { ServicePlan } from '#schemas/feature.ts'
import type { TenantId } from '#schemas/ids.ts'
import { callOf, inTenant } from '#tests/caller.ts'
import { testDatabase } from '#tests/database.ts'
import { eventOf, mortal, newScene, TYPE } from './scene.ts'
import { blobsOfTest, HOUR, loggedRows, readLog, segmentRows } from './sealed-log.ts'

const { db, admin } = await testDatabase()
const besides = { openSpool, eraseBesides: decisions.forget, eraseElsewhere: async () => {} }
const scene = { ...(await newScene(db)), blobs: blobsOfTest(), ...besides }
scene.clock.forward(-30 * 24 * HOUR)

const SUBJECT = 'anna-4711-1234'
const MINUTE = 60_000
const cards = [SUBJECT, 'other-1', 'other-2']
const made = (tenantId: TenantId, from: number, count: number) =>
  Array.from({ length: count }, (_, i) => {
    const card = cards[(from + i) % 3]!
    const data = { card, shop: `shop-${i % 2}`, amount: i }
    return eventOf(tenantId, { id: `${card}/${from + i}`, data }, scene.clock.now() * 1_000)
  })

/** Sealed and unsealed events, one taken back, one decided, one that contradicts another. */
async function livedIn(): Promise<TenantId> {
  const tenantId = await scene.newTenant()
  await events.ingest(scene, tenantId, made(tenantId, 0, 9))
  scene.clock.forward(2 * HOUR)
  while (await events.sealNext(scene, tenantId));
  await events.ingest(scene, tenantId, made(tenantId, 9, 6))
  const retraction = { id: `back/${SUBJECT}`, retracts: `${SUBJECT}/9` }
  await events.ingest(scene, tenantId, [eventOf(tenantId, retraction, scene.clock.now() * 1_000)])
  const [first] = made(tenantId, 0, 1)
  await events.ingest(scene, tenantId, [{ ...first!, bodyHash: 'f'.repeat(32) }])
  await decided(tenantId, 'told', true)
  await decided(tenantId, 'untold', false)
  return tenantId
}

async function decided(tenantId: TenantId, id: string, isTold: boolean): Promise<void> {
  const data = { card: SUBJECT, shop: 'shop-1', amount: 1 }
  const event = eventOf(tenantId, { id: `${SUBJECT}/${id}`, data }, scene.clock.now() * 1_000)
  const plan = { hash: 'none', views: [], features: [], transforms: [] } as unknown as ServicePlan
  const object = await objectOf(tenantId, SUBJECT)
  const endpoint = { name: 'fraud', version: 1 }
  const { position, reads } = await object.decide({
    event,
    isTimed: true,
    gate: { entity: 'card', entityKey: SUBJECT },
    also: [],
    given: [],
    planHash: plan.hash,
    plan,
    onlineDays: 60,
    endpoint,
  })
  if (!isTold) return
  const snapshot: Snapshot = { endpoint, event, planHash: plan.hash, position, reads }
  await events.ingest(scene, tenantId, [event], unit =>
    decisions.recordSnapshots(unit, tenantId, [snapshot]),
  )
}

async function objectOf(tenantId: TenantId, card: string) {
  const { partitionOf } = await import('#core/events/partition.ts')
  const { features } = scene
  const group = Math.floor(partitionOf('card', card) / features.partitionsPerObject)
  return features.group(tenantId, group)
}

function request(tenantId: TenantId, key: string | string[] = SUBJECT, entity = 'card') {
  return inTenant({ db, clock: scene.clock }, tenantId, unit =>
    events.requestErasure(unit, callOf(tenantId), { entity, key }),
  )
}

/** Everything in the database that holds the text: table and row. */
async function rowsWith(text: string): Promise<string[]> {
  const { rows: tables } = await admin.query(
    `select tablename as name from pg_tables where schemaname = 'public'`,
  )
  const found: string[] = []
  for (const { name } of tables) {
    const { rows } = await admin.query(
      `select each::text as row from ${name} as each where each::text like $1`,
      [`%${text}%`],
    )
    found.push(...rows.map(({ row }) => `${name}: ${row}`))
  }
  return found
}

function filesWith(folder: string, text: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter(name => {
    const path = join(folder, name)
    return statSync(path).isFile() && readFileSync(path).includes(text)
  })
}

async function segmentsWith(tenantId: TenantId, text: string): Promise<number> {
  let count = 0
  for (const { key } of await scene.blobs.list(`${tenantId}/`)) {
    const rows = await segmentRows(await scene.blobs.localFile(key))
    count += rows.filter(row => Object.values(row).some(v => String(v).includes(text))).length
  }
  return count
}

test('nothing that was kept holds the subject any more, whoever died meanwhile, and all the rest is there', async () => {
  const tenantId = await livedIn()
  scene.wakeAnew()
  // Each of the places does hold it before, so that finding nothing means something.
  expect((await rowsWith(SUBJECT)).map(row => row.split(/[_:]/)[0])).toEqual(
    expect.arrayContaining(['events', 'event', 'decisions']),
  )
  expect(filesWith(scene.folder, SUBJECT)).not.toEqual([])
  expect(await segmentsWith(tenantId, SUBJECT)).toBeGreaterThan(0)
  const { rows: known } = await admin.query(
    `select replace(key::text, '-', '') as key from events where tenant_id = $1 and id like 'other%'`,
    [tenantId],
  )
  const keys = new Set(known.map(({ key }) => key))
  const read = () => readLog(scene, tenantId, TYPE.type)
  const ofOthers = (rows: string[]) => rows.filter(row => keys.has(row.split(' ')[1]!))
  const others = ofOthers(await read())
  // Ten events of the two others, each at its card and as a pair.
  expect(others).toHaveLength(20)

  const { id, subject_hash } = await request(tenantId)
  const state = () => inTenant({ db }, tenantId, unit => events.erasure(unit, { erasure_id: id }))
  for (let dies = 0; dies < 60; dies += 3) {
    await events.eraseDue(mortal(scene, dies)).catch(() => {})
    // The lease of the dead.
    scene.clock.forward(6 * MINUTE)
    expect(ofOthers(await read())).toEqual(others)
  }
  await events.eraseDue(scene)
  expect(await state()).toMatchObject({ state: 'done', erased: { segments: 1, rejections: 1 } })
  expect((await state()).erased.decisions).toBe(1)

  scene.wakeAnew()
  expect(await rowsWith(SUBJECT)).toEqual([])
  expect(filesWith(scene.folder, SUBJECT)).toEqual([])
  expect(filesWith(scene.blobs.root, SUBJECT)).toEqual([])
  expect(await segmentsWith(tenantId, SUBJECT)).toBe(0)

  expect(await read()).toEqual(others)
  const { data } = await inTenant({ db }, tenantId, unit =>
    events.segments(unit, { limit: 10, superseded: 'true' }),
  )
  const [old, now] = data
  expect(old).toMatchObject({ state: 'superseded', superseded_by: now!.id })
  expect(now!.sha256).not.toBe(old!.sha256)
  const { rows } = await admin.query(
    `select detail from audit_log where tenant_id = $1 and action = 'events.erase'`,
    [tenantId],
  )
  expect(rows).toEqual([{ detail: { entity: 'card', subject_hash } }])
})

test('an erased event that is sent again does not come back, and a new one is a new one', async () => {
  const tenantId = await scene.newTenant()
  const [first] = made(tenantId, 0, 1)
  await events.ingest(scene, tenantId, [first!])
  await request(tenantId)
  scene.clock.forward(3 * MINUTE)
  await events.eraseDue(scene)
  const { outcomes } = await events.ingest(scene, tenantId, [first!])
  expect(outcomes).toEqual(['duplicate'])
  expect(await loggedRows(admin, tenantId)).toEqual([])
})

test('what was taken and had no place yet is found by the second look', async () => {
  const tenantId = await scene.newTenant()
  const { id } = await request(tenantId)
  const state = () => inTenant({ db }, tenantId, unit => events.erasure(unit, { erasure_id: id }))
  // It is in the log, and no object has heard of it.
  await events.ingest(mortal(scene, 5), tenantId, made(tenantId, 0, 1)).catch(() => {})
  await events.eraseDue(scene)
  expect((await state()).state).toBe('running')
  scene.clock.forward(3 * MINUTE)
  await events.eraseDue(scene)
  expect((await state()).state).toBe('running')
  await events.placeWaiting(scene)
  await events.eraseDue(scene)
  expect(await state()).toMatchObject({ state: 'done', erased: { events: 1 } })
  expect(await loggedRows(admin, tenantId)).toEqual([])
})

test('who has lost the lease meanwhile removes no rows and ends nothing: another may be sealing them', async () => {
  const tenantId = await scene.newTenant()
  await events.ingest(scene, tenantId, made(tenantId, 0, 1))
  const { id } = await request(tenantId)
  scene.clock.forward(3 * MINUTE)
  const group = (...at: Parameters<typeof scene.features.group>) => {
    const object = scene.features.group(...at)
    const erase: typeof object.erase = async input => {
      if (input.events.length > 0) {
        const taken = `update event_seals set holder = 'another' where tenant_id = $1`
        await admin.query(taken, [tenantId])
      }
      return object.erase(input)
    }
    return { ...object, erase }
  }
  await events.eraseDue({ ...scene, features: { ...scene.features, group } })
  expect(await loggedRows(admin, tenantId)).toHaveLength(2)
  const found = await inTenant({ db }, tenantId, unit => events.erasure(unit, { erasure_id: id }))
  expect(found.state).toBe('queued')
})

test('rows that a killed process had written down for a file are gone when the next one begins', async () => {
  const parent = join(scene.folder, 'scratch')
  const open = await spoolsIn(parent)
  const killed = await open()
  await killed.add([{ type: TYPE.type, entity_key: SUBJECT } as events.LogRow])
  expect(filesWith(parent, SUBJECT)).toHaveLength(1)
  await spoolsIn(parent)
  expect(readdirSync(parent)).toEqual([])
})

test('events that stand in files alone are erased and counted like those that the database still has', async () => {
  const tenantId = await scene.newTenant()
  await events.ingest(scene, tenantId, made(tenantId, 0, 6))
  scene.clock.forward(2 * HOUR)
  while (await events.sealNext(scene, tenantId));
  const old = `delete from events where tenant_id = $1 and number in (
    select number from event_positions where tenant_id = $1 and entity = 'card'
    order by number limit 3)`
  await admin.query(old, [tenantId])
  await admin.query(
    `delete from event_positions where tenant_id = $1 and number not in (
      select number from events where tenant_id = $1)`,
    [tenantId],
  )
  const { id } = await request(tenantId)
  scene.clock.forward(3 * MINUTE)
  await events.eraseDue(scene)
  const { state, erased } = await inTenant({ db }, tenantId, unit =>
    events.erasure(unit, { erasure_id: id }),
  )
  expect([state, erased.events, erased.segments]).toEqual(['done', 2, 1])
})

test('what else may name a subject forgets it also where the subject has no events', async () => {
  const tenantId = await scene.newTenant()
  await request(tenantId, 'asked-for-in-vain')
  scene.clock.forward(3 * MINUTE)
  const asked: string[][] = []
  const eraseBesides: events.EraseBesides = async (_, keys) => asked.push(keys) && 0
  await events.eraseDue({ ...scene, eraseBesides })
  expect(asked).toEqual([[]])
})

test('an entity that nothing tells about, and a key of another form, are refused with what would be right', async () => {
  const tenantId = await scene.newTenant()
  const refusal = (key: string | string[], entity: string) =>
    request(tenantId, key, entity).catch((e: AppError) => e.public)
  expect(await refusal('x', 'ship')).toBe('No event type tells about an entity "ship".')
  expect(await refusal('x', 'pair')).toBe(
    'The key of "pair" is made of card, shop: send a list of them as key.',
  )
  expect(await refusal(['x'], 'card')).toBe(
    'The key of "card" is made of card: send its value alone as key.',
  )
})
