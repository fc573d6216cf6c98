/** Events of many entities from a function to Durable Objects over HTTP, an object for each partition. */
import { afterAll, expect, test } from 'vitest'
import { keyText } from '#core/events/contract.ts'
import * as events from '#core/events/events.ts'
import { partitionOf } from '#core/events/partition.ts'
import { openSigner, placeKey } from '#core/internal/signing.ts'
import { httpApplyAt, httpObjects, OBJECTS_PER_REQUEST_MAX } from '#platform/objects/http.ts'
import { remoteFeatures } from '#platform/objects/remote.ts'
import { testDatabase } from '#tests/database.ts'
import { eventOf, newScene } from '../runtime/events/scene.ts'
import { startWorkerHost } from './worker-host.ts'

/** As many partitions of 1,024 as a batch of this size reaches. */
const ENTITIES = 4_000
const AT_ONCE_MAX = 4

const { db, admin } = await testDatabase()
const scene = await newScene(db)
const key = await placeKey('a secret of the test alone, long enough', 'functions')
const host = await startWorkerHost(key)
afterAll(() => host.close())

let underWay = 0
let mostAtOnce = 0
let requests = 0
/** Of the requests from now on, which fail before they are sent. */
let fails = (_: number) => false
const at = {
  async fetch(request: Request) {
    mostAtOnce = Math.max(mostAtOnce, ++underWay)
    try {
      if (fails(requests++)) throw new Error('planted')
      return await fetch(request)
    } finally {
      underWay--
    }
  },
  origin: host.url,
  signer: await openSigner('functions', key),
  clock: scene.clock,
}
const features = remoteFeatures(httpObjects(at), 1, httpApplyAt(at))

test('a batch for a thousand objects takes few connections, and what one request loses is done again alone', async () => {
  const tenantId = await scene.newTenant()
  const all = Array.from({ length: ENTITIES }, (_, i) =>
    eventOf(tenantId, { id: `e${i}`, data: { card: `card ${i}`, amount: 1 } }),
  )
  const placed = async () => {
    const { rows } = await admin.query(
      'select count(*)::int as events, count(distinct partition)::int as objects from event_positions where tenant_id = $1',
      [tenantId],
    )
    return rows[0] as { events: number; objects: number }
  }
  fails = request => request === 2
  const ingest = () => events.ingest({ ...scene, features }, tenantId, all)
  await expect(ingest()).rejects.toMatchObject({ code: 'unavailable', retryable: true })
  const partitions = new Set(
    all.map(({ data }) => partitionOf('card', keyText(data.card as string)!)),
  )
  expect(partitions.size).toBeGreaterThanOrEqual(1_000)
  expect((await placed()).objects).toBeGreaterThan(0)
  expect((await placed()).objects).toBeLessThan(partitions.size)

  fails = () => false
  // A machine that is slow to make so many objects leaves some for a further time.
  for (let left = partitions.size; left > 0; ) {
    const missing = partitions.size - (await placed()).objects
    requests = 0
    scene.clock.forward(20_000)
    await events.placeWaiting({ ...scene, features })
    expect(requests).toBeLessThanOrEqual(Math.ceil(missing / OBJECTS_PER_REQUEST_MAX))
    left = partitions.size - (await placed()).objects
  }
  expect(await placed()).toEqual({ events: ENTITIES, objects: partitions.size })
  expect(mostAtOnce).toBe(AT_ONCE_MAX)
  // A thousand objects are made, each with a file of its own.
}, 240_000)

test('one object that refuses is alone with it', async () => {
  const tenantId = await scene.newTenant()
  const [event] = [eventOf(tenantId, { id: 'one', data: { card: 'c', amount: 1 } })]
  const placement = { partition: 7, entity: 'card', entityKey: 'c', event }
  const input = { placements: [placement], onlineDays: {}, checkedAt: Date.now() }
  const outcomes = await features.applyAt(tenantId, [
    { group: 7, input },
    { group: 8, input: { ...input, checkedAt: 0 } },
    { group: 9, input },
  ])
  expect(outcomes).toMatchObject([
    { positions: [{ seq: 1 }] },
    { error: { code: 'conflict' } },
    { positions: [{ seq: 1 }] },
  ])
})
