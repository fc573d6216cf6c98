/** From what was sent to the log and the objects: whatever is repeated, reordered, taken back, or dies. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { keyText, placementsOf } from '#core/events/contract.ts'
import * as events from '#core/events/events.ts'
import { partitionOf } from '#core/events/partition.ts'
import { compileService, compileView } from '#core/features/compile.ts'
import type { Event } from '#schemas/event.ts'
import type { ServicePlan } from '#schemas/feature.ts'
import type { TenantId } from '#schemas/ids.ts'
import { testDatabase } from '#tests/database.ts'
import { AFTER_THE_LOG, eventOf, mortal, newScene, type Scene, TYPE } from './scene.ts'

const { db, admin } = await testDatabase()
const scene = await newScene(db)

const IDS = 6
const CARDS = 3
/** Longer than a batch is left to who is placing it. */
const LEFT_MS = 20_000

type Sent = { id: number; body: number } | { retracts: number }
type Step =
  | { do: 'ingest'; sent: Sent[]; dies: number | null }
  | { do: 'ingest both'; sent: [Sent[], Sent[]]; dies: [number | null, number | null] }
  | { do: 'sweep'; dies: number | null }
  | { do: 'wake' }

const one: fc.Arbitrary<Sent> = fc.oneof(
  { weight: 3, arbitrary: fc.record({ id: fc.nat(IDS - 1), body: fc.constantFrom(0, 0, 0, 1) }) },
  { weight: 1, arbitrary: fc.record({ retracts: fc.nat(IDS - 1) }) },
)
const several = fc.array(one, { minLength: 1, maxLength: 5 })
const dies = fc.option(fc.nat(20))
const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof(
    {
      weight: 4,
      arbitrary: fc.record({ do: fc.constant('ingest' as const), sent: several, dies }),
    },
    {
      weight: 2,
      arbitrary: fc.record({
        do: fc.constant('ingest both' as const),
        sent: fc.tuple(several, several),
        dies: fc.tuple(dies, dies),
      }),
    },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('sweep' as const), dies }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('wake' as const) }) },
  ),
  { minLength: 1, maxLength: 8 },
)

/** Some without a shop, and so without a place as a pair; another body goes to another card. */
function madeOf(tenantId: TenantId, sent: Sent): Event {
  if ('retracts' in sent) {
    return eventOf(tenantId, { id: `r${sent.retracts}`, retracts: `e${sent.retracts}` })
  }
  const { id, body } = sent
  const shop = id % 2 ? { shop: `shop ${id}` } : {}
  return eventOf(tenantId, {
    id: `e${id}`,
    data: { card: `card ${(id + body) % CARDS}`, amount: id * 10 + body, ...shop },
  })
}

test('each event is in the log once and at each of its entities once, in one order, whatever happens', async () => {
  await fc.assert(
    fc.asyncProperty(steps, async all => {
      const tenantId = await scene.newTenant()
      const told: Event[][] = []
      const ingest = async (sent: Sent[], dies: number | null) => {
        const made = sent.map(each => madeOf(tenantId, each))
        told.push(made)
        await events.ingest(mortal(scene, dies), tenantId, made).catch(mustBeDeath)
      }
      for (const step of all) {
        if (step.do === 'ingest') await ingest(step.sent, step.dies)
        if (step.do === 'ingest both') {
          await Promise.all([0, 1].map(i => ingest(step.sent[i]!, step.dies[i]!)))
        }
        if (step.do === 'wake') scene.wakeAnew()
        if (step.do === 'sweep') {
          scene.clock.forward(LEFT_MS)
          await events.placeWaiting(mortal(scene, step.dies)).catch(mustBeDeath)
        }
      }
      // What was not answered comes again, in another order; then nobody dies any more.
      for (const made of told.toReversed()) await events.ingest(scene, tenantId, made)
      scene.clock.forward(LEFT_MS)
      await events.placeWaiting(scene)
      await check(tenantId, told.flat())
    }),
    { numRuns: 40 },
  )
})

function mustBeDeath(error: Error): void {
  expect(error.message).toBe('the process has died')
}

/** Against a model that knows nothing of how it is done: what was told, and what the tables say. */
async function check(tenantId: TenantId, told: Event[]): Promise<void> {
  const rows = async (query: string) => (await admin.query(query, [tenantId])).rows
  const logged: { key: string; hash: string }[] = await rows(
    `select replace(key::text, '-', '') as key, replace(body_hash::text, '-', '') as hash
     from events where tenant_id = $1 order by key`,
  )
  const keys = new Set(told.map(({ key }) => key))
  expect(logged.map(({ key }) => key)).toEqual([...keys].sort())
  const hashOf = new Map(logged.map(({ key, hash }) => [key, hash]))
  const won = new Map(
    told
      .filter(({ key, bodyHash }) => hashOf.get(key) === bodyHash)
      .map(event => [event.key, event]),
  )
  expect(won.size).toBe(keys.size)

  const rejected = await rows(
    `select replace(body_hash::text, '-', '') as hash from event_rejections where tenant_id = $1`,
  )
  const lost = new Set(
    told.filter(({ key, bodyHash }) => hashOf.get(key) !== bodyHash).map(event => event.bodyHash),
  )
  expect(rejected.map(({ hash }) => hash).sort()).toEqual([...lost].sort())

  const placed = [...won.values()].flatMap(event => {
    const target = event.retracts === null ? event : won.get(event.retracts)
    const at = target ? placementsOf({ ...TYPE, version: 1 }, target) : []
    return at.map(({ entity, entityKey }) => [event.key, entity, entityKey].join(' '))
  })
  const positions: Record<string, string>[] = await rows(
    `select replace(key::text, '-', '') as key, entity, entity_key, partition, seq, known_at
     from event_positions where tenant_id = $1 order by partition, seq`,
  )
  const places = positions.map(({ key, entity, entity_key }) => [key, entity, entity_key].join(' '))
  expect(places.sort()).toEqual(placed.sort())
  for (const of of Map.groupBy(positions, ({ partition }) => partition).values()) {
    expect(of.map(({ seq }) => Number(seq))).toEqual(of.map((_, i) => i + 1))
    const times = of.map(({ known_at }) => Number(known_at))
    expect(times).toEqual([...new Set(times)].sort((a, b) => a - b))
  }

  const waiting = await rows(
    `select replace(key::text, '-', '') as key from event_retractions where tenant_id = $1 and not due`,
  )
  const early = [...won.values()].filter(({ retracts }) => retracts && !won.has(retracts))
  expect(waiting.map(({ key }) => key).sort()).toEqual(early.map(({ key }) => key).sort())
  expect(await rows('select 1 from event_batches where tenant_id = $1')).toEqual([])
  await checkOnline(tenantId, won)
}

/** What the objects show is what the log implies. */
async function checkOnline(tenantId: TenantId, won: Map<string, Event>): Promise<void> {
  const definition = {
    entity: 'card',
    event_type: TYPE.type,
    features: {
      n: { agg: 'count' as const, window: '20d' },
      total: { agg: 'sum' as const, of: 'amount', window: '20d' },
    },
  }
  const view = await compileView('v', definition, { ...TYPE, version: 1 })
  const plan = await compileService('s', { features: ['v:*'] }, new Map([['v', view]]))
  const retracted = new Set([...won.values()].flatMap(({ retracts }) => retracts ?? []))
  const standing = [...won.values()].filter(
    ({ key, retracts }) => retracts === null && !retracted.has(key),
  )
  for (let i = 0; i < CARDS; i++) {
    const entityKey = keyText(`card ${i}`)!
    const of = standing.filter(({ data }) => data.card === entityKey)
    const sum = of.reduce((total, { data }) => total + (data.amount as number), 0)
    expect(await read(plan, tenantId, entityKey)).toEqual([of.length, of.length ? sum : null])
  }
}

async function read(plan: ServicePlan, tenantId: TenantId, entityKey: string) {
  const group = Math.floor(partitionOf('card', entityKey) / scene.features.partitionsPerObject)
  const keys = [{ entity: 'card', entityKey }]
  const { reads } = await scene.features
    .group(tenantId, group)
    .read({ planHash: plan.hash, plan, keys })
  return reads[0]!.views[0]!.values
}

/** A database whose next transaction of a tenant stands before its commit until it is let go. */
function held(of: Scene) {
  let letGo = () => {}
  const gate = new Promise<void>(resolve => {
    letGo = resolve
  })
  let reached = () => {}
  const standing = new Promise<void>(resolve => {
    reached = resolve
  })
  let isFirst = true
  const deps = {
    ...of,
    db: {
      ...of.db,
      tenant: (<T>(tenantId: TenantId, work: (tx: never) => Promise<T>) =>
        of.db.tenant(tenantId, async tx => {
          const result = await work(tx as never)
          if (isFirst) {
            isFirst = false
            reached()
            await gate
          }
          return result
        })) as typeof of.db.tenant,
    },
  }
  return { deps, standing, letGo }
}

/** Until something has come of it, or it waits for somebody else's lock. */
async function doneOrWaiting(work: Promise<unknown>): Promise<void> {
  let done = false
  const end = () => {
    done = true
  }
  work.then(end, end)
  while (!done) {
    const { rows } = await admin.query(
      `select 1 from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`,
    )
    if (rows.length > 0) return
  }
}

test.each([
  ['an event is being taken, its retraction', { id: 1, body: 0 }, { retracts: 1 }],
  ['a retraction is being taken, its event', { retracts: 1 }, { id: 1, body: 0 }],
])('while %s comes too: they find each other', async (_, first, second) => {
  const tenantId = await scene.newTenant()
  const a = held(scene)
  const one = events.ingest(a.deps, tenantId, [madeOf(tenantId, first as Sent)])
  await a.standing
  const other = events.ingest(scene, tenantId, [madeOf(tenantId, second as Sent)])
  await doneOrWaiting(other)
  a.letGo()
  await Promise.all([one, other])
  await check(tenantId, [madeOf(tenantId, first as Sent), madeOf(tenantId, second as Sent)])
})

test('who follows the log misses no event, however long its transaction took', async () => {
  const tenantId = await scene.newTenant()
  const a = held(scene)
  const slow = events.ingest(a.deps, tenantId, [madeOf(tenantId, { id: 1, body: 0 })])
  await a.standing
  const quick = events.ingest(scene, tenantId, [madeOf(tenantId, { id: 2, body: 0 })])
  await doneOrWaiting(quick)
  const list = (cursor?: string) =>
    scene.db.tenant(tenantId, tx => events.list({ tx, clock: scene.clock }, { limit: 100, cursor }))
  const before = await list()
  a.letGo()
  await Promise.all([slow, quick])
  const after = await list(before.tail)
  expect([...before.data, ...after.data].map(({ id }) => id)).toEqual(['e1', 'e2'])
  expect((await list(after.tail)).data).toEqual([])
})

test('asked to wait, it gives the positions of repetitions too, placed by then if they were not', async () => {
  const tenantId = await scene.newTenant()
  const event = madeOf(tenantId, { id: 1, body: 0 })
  const logged = mortal(scene, AFTER_THE_LOG)
  await events.ingest(logged, tenantId, [event]).catch(mustBeDeath)
  const { outcomes, positions } = await events.ingestNow(scene, tenantId, [event])
  expect(outcomes).toEqual(['duplicate'])
  expect(positions.map(({ entity }) => entity).sort()).toEqual(['card', 'pair'])
  const again = await events.ingestNow(scene, tenantId, [event])
  expect(again.positions).toEqual(positions)
})

const applyAtBut =
  (isDown: (tenantId: TenantId, group: number) => boolean): Scene['features']['applyAt'] =>
  async (tenantId, calls) =>
    Promise.all(
      calls.map(async call =>
        isDown(tenantId, call.group)
          ? { error: new Error('planted') }
          : (await scene.features.applyAt(tenantId, [call]))[0]!,
      ),
    )

test('one tenant whose batch cannot be placed keeps no other from being placed', async () => {
  const [stuck, well] = [await scene.newTenant(), await scene.newTenant()]
  for (const tenantId of [stuck, well]) {
    const event = madeOf(tenantId, { id: 1, body: 0 })
    await events.ingest(mortal(scene, AFTER_THE_LOG), tenantId, [event]).catch(mustBeDeath)
  }
  const features = { ...scene.features, applyAt: applyAtBut(tenantId => tenantId === stuck) }
  scene.clock.forward(LEFT_MS)
  await events.placeWaiting({ ...scene, features })
  const { rows } = await admin.query('select tenant_id from event_batches')
  expect(rows).toEqual([{ tenant_id: stuck }])
  // For as long as it may pass by itself nobody is called, and then somebody is.
  scene.clock.forward(600_000)
  const late = /waited to be placed for more than 10 minutes: 1;/
  await expect(events.placeWaiting({ ...scene, features })).rejects.toThrow(late)
  await events.placeWaiting(scene)
})

test('an object that fails keeps its own events waiting, and none of another object', async () => {
  const tenantId = await scene.newTenant()
  const all = Array.from({ length: 40 }, (_, i) =>
    eventOf(tenantId, { id: `o${i}`, data: { card: `card ${i}`, amount: 1 } }),
  )
  const groupOf = (event: Event) =>
    Math.floor(
      partitionOf('card', keyText(String(event.data.card))!) / scene.features.partitionsPerObject,
    )
  const down = groupOf(all[0]!)
  const asked: number[] = []
  const but = applyAtBut((_, group) => group === down)
  const applyAt: typeof but = (tenant, calls) => {
    asked.push(...calls.map(({ group }) => group))
    return but(tenant, calls)
  }
  const deps = { ...scene, features: { ...scene.features, applyAt } }
  // The first batch is of the failing object alone, the second of all of them, the others of one each.
  const singles = all.slice(20).map(event => [event])
  for (const batch of [[all[0]!], all.slice(1, 20), ...singles]) {
    await events.ingest(mortal(deps, AFTER_THE_LOG), tenantId, batch).catch(mustBeDeath)
  }
  scene.clock.forward(LEFT_MS)
  asked.length = 0
  await events.placeWaiting(deps)
  const placed = async () => {
    const { rows } = await admin.query('select key from event_positions where tenant_id = $1', [
      tenantId,
    ])
    return rows.map(({ key }) => key.replaceAll('-', '')).sort()
  }
  const others = all.filter(event => groupOf(event) !== down)
  expect(await placed()).toEqual(others.map(({ key }) => key).sort())
  expect(asked.filter(group => group === down)).toHaveLength(1)
  // What was placed is not asked for again; what was not is placed as soon as its object is there.
  asked.length = 0
  await events.placeWaiting({
    ...scene,
    features: {
      ...scene.features,
      applyAt: (tenant, calls) => {
        asked.push(...calls.map(({ group }) => group))
        return scene.features.applyAt(tenant, calls)
      },
    },
  })
  expect(new Set(asked)).toEqual(new Set([down]))
  expect(await placed()).toEqual(all.map(({ key }) => key).sort())
  const { rows } = await admin.query('select 1 from event_batches where tenant_id = $1', [tenantId])
  expect(rows).toEqual([])
})
