/** The queue of events: what the edge acknowledged is ingested whole, and one message's trouble is its own. */
import { afterAll, expect, test } from 'vitest'
import { partitionOf } from '#core/events/partition.ts'
import type { FunctionsDeps } from '#functions/deps.ts'
import { accept, ingestDecided, ingestQueue } from '#functions/ingest.ts'
import { openMeasures } from '#functions/metrics/measures.ts'
import { connectionOf } from '#platform/db/postgres.ts'
import { Registry } from '#platform/metrics/registry.ts'
import { postgresQueue } from '#platform/queue/postgres.ts'
import type { Snapshot } from '#schemas/decision.ts'
import type { Event } from '#schemas/event.ts'
import type { TenantId } from '#schemas/ids.ts'
import { testDatabase } from '#tests/database.ts'
import { eventOf, newScene } from './scene.ts'

const { db, admin, url } = await testDatabase()
const scene = await newScene(db)
const queue = postgresQueue({ pool: db.pool, listen: connectionOf(url) })
afterAll(() => queue.close())
const registry = new Registry()
const deps = { ...scene, queue, measures: openMeasures(registry) } as unknown as FunctionsDeps
const counted = (outcome: string) =>
  Number(
    registry
      .snapshot()
      .find(({ name }) => name === 'galley_messages_total')!
      .series.find(([values]) => values[0] === 'events' && values[1] === outcome)?.[1] ?? 0,
  )

const TEXTS = ['', '"', '\\', '{a,b}', 'null', 'é\n\t', '\u{fffe}\u{ffff}']
const made = (tenantId: TenantId, count: number) =>
  Array.from({ length: count }, (_, i) =>
    eventOf(tenantId, {
      id: `e${i}`,
      data: { card: TEXTS[i % 7]!, shop: `c${TEXTS[i % 7]}`, amount: i },
    }),
  )
const countOf = async (query: string, values: unknown[] = []): Promise<number> =>
  (await admin.query(`select count(*)::int as n from ${query}`, values)).rows[0].n

/** Consumes until there is nothing left to receive, by two at once. */
async function consume(until: () => Promise<boolean>): Promise<void> {
  const stop = new AbortController()
  const loops = [ingestQueue(deps, stop.signal), ingestQueue(deps, stop.signal)]
  while (!(await until())) await new Promise(resolve => setTimeout(resolve, 20))
  stop.abort()
  await Promise.all(loops)
}

test('thousands of events of several tenants, also with texts that queues refuse, come into the log as sent', async () => {
  const tenants = [await scene.newTenant(), await scene.newTenant()]
  for (const tenantId of tenants) {
    const events = made(tenantId, 3_000)
    await accept(deps, { tenantId, events })
    // Sent twice, as a sender does who did not hear the answer.
    await accept(deps, { tenantId, events: events.slice(0, 100) })
  }
  const sizes = await admin.query('select max(octet_length(body)) as n from queue_messages')
  expect(Number(sizes.rows[0].n)).toBeLessThan(256 * 1024)
  await consume(async () => (await countOf('queue_messages')) === 0)
  for (const tenantId of tenants) {
    const { rows } = await admin.query(
      'select id, data from events where tenant_id = $1 order by number',
      [tenantId],
    )
    expect(rows.length).toBe(3_000)
    const data = (i: number) => rows.find(({ id }) => id === `e${i}`).data
    const places = await admin.query(
      `select distinct entity_key from event_positions where tenant_id = $1 and entity = 'card'`,
      [tenantId],
    )
    expect(new Set(places.rows.map(row => row.entity_key))).toEqual(new Set(TEXTS))
    for (const [i, text] of TEXTS.entries()) {
      expect(data(i)).toEqual({ amount: i, card: text, shop: `c${text}` })
    }
  }
  expect(await countOf('event_batches')).toBe(0)
})

test('a message that nobody can read and one that cannot be taken come back alone, and each is counted', async () => {
  const handledBefore = counted('handled')
  const tenantId = await scene.newTenant()
  const [good, bad] = [made(tenantId, 5), made(tenantId, 1)] as [Event[], Event[]]
  const misfit: Event = { ...bad[0]!, key: 'f'.repeat(32), version: 99 }
  await queue.send('events', [
    { body: 'not JSON' },
    { body: JSON.stringify({ tenantId, events: [misfit] }) },
    ...good.map(event => ({ body: JSON.stringify({ tenantId, events: [event] }) })),
  ])
  await consume(async () => (await countOf('queue_messages')) === 2)
  expect(await countOf('events where tenant_id = $1', [tenantId])).toBe(5)
  expect(counted('handled') - handledBefore).toBe(5)
  expect(counted('failed')).toBe(2)
  const { rows } = await admin.query('select body from queue_messages order by body')
  expect(rows.map(({ body }) => body.slice(0, 8))).toEqual(['not JSON', '{"tenant'])
  await admin.query('delete from queue_messages')
})

test('what a decision has applied keeps its place, and the event reaches its other entities', async () => {
  const tenantId = await scene.newTenant()
  const event = eventOf(tenantId, { id: 'd1', data: { card: 'c', shop: 's', amount: 1 } })
  const partition = partitionOf('card', 'c')
  const placement = { partition, entity: 'card', entityKey: 'c', event }
  const { positions } = await scene.features
    .group(tenantId, Math.floor(partition / scene.features.partitionsPerObject))
    .apply({
      placements: [placement],
      checkedAt: scene.clock.now(),
      onlineDays: { transaction: 60 },
    })
  const [position] = positions
  const read = { entity: 'card', entityKey: 'c', partition, seq: 0, at: 1, views: [] }
  const snapshot: Snapshot = {
    endpoint: { name: 'fraud', version: 1 },
    event,
    planHash: 'h',
    position: position!,
    reads: [read],
  }
  // Told twice, and by the ordinary way as well.
  await ingestDecided(deps, { tenantId, decided: [snapshot] })
  await ingestDecided(deps, { tenantId, decided: [snapshot] })
  await accept(deps, { tenantId, events: [event] })
  await consume(async () => (await countOf('queue_messages')) === 0)
  const { rows } = await admin.query(
    'select entity, seq::int, known_at::float8 from event_positions where tenant_id = $1 order by entity',
    [tenantId],
  )
  expect(rows).toEqual([
    { entity: 'card', seq: position!.seq, known_at: position!.knownAt },
    { entity: 'pair', seq: 1, known_at: expect.any(Number) },
  ])
  expect(await countOf('events where tenant_id = $1', [tenantId])).toBe(1)
  const kept = await admin.query('select snapshot from decisions where tenant_id = $1', [tenantId])
  expect(kept.rows).toEqual([{ snapshot }])
})
