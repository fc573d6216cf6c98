/** What every host of the features' object must do: the suite that each of them passes. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { FeatureObject } from '#core/deps.ts'
import { partitionOf } from '#core/events/partition.ts'
import { hash128 } from '#core/events/sha256.ts'
import { compileService, compileView } from '#core/features/compile.ts'
import type { Event, EventType, Placement } from '#schemas/event.ts'
import type { ServicePlan } from '#schemas/feature.ts'
import { newId, type TenantId } from '#schemas/ids.ts'
import type { FunctionsServer } from './functions-server.ts'

export type FeaturesEngine = {
  object(tenantId: TenantId): FeatureObject
  /** What its decisions are told to. */
  functions: FunctionsServer
  /** The host dies in the middle of whatever it does, and is there again. */
  crash(): Promise<void>
  close(): Promise<void>
}

const TYPE: EventType = {
  type: 'payment',
  version: 1,
  fields: { card: { type: 'string' }, amount: { type: 'decimal', scale: 2 } },
  entities: { card: 'card' },
  online_days: 40,
}
/** More than the seven times that an alarm of a Durable Object is called by the platform. */
const REFUSALS = 7
const PATIENCE = { timeout: 50_000, interval: 50 }
const ONLINE_DAYS = { payment: 40 }
let plan: ServicePlan

const eventOf = (id: string, amount: number, more: Partial<Event> = {}): Event => ({
  key: hash128('conformance', id),
  id,
  source: 'tests',
  type: 'payment',
  version: 1,
  eventTime: (Date.now() - 1_000) * 1_000,
  receivedAt: Date.now() * 1_000,
  data: { card: 'c1', amount },
  retracts: null,
  bodyHash: hash128('body', id, String(amount)),
  ...more,
})
const at = (event: Event, card = 'c1'): Placement => ({
  partition: partitionOf('card', card),
  entity: 'card',
  entityKey: card,
  event,
})
const apply = (object: FeatureObject, events: Event[]) =>
  object.apply({
    placements: events.map(event => at(event)),
    checkedAt: Date.now(),
    onlineDays: ONLINE_DAYS,
  })
const read = async (object: FeatureObject, card = 'c1') => {
  const keys = [{ entity: 'card', entityKey: card }]
  return (await object.read({ planHash: plan.hash, plan, keys })).reads[0]!
}
const decide = (object: FeatureObject, event: Event) =>
  object.decide({
    planHash: plan.hash,
    plan,
    event,
    isTimed: false,
    gate: { entity: 'card', entityKey: 'c1' },
    also: [],
    given: [],
    onlineDays: 40,
    endpoint: { name: 'fraud', version: 1 },
  })

export function featuresSuite(name: string, open: () => Promise<FeaturesEngine>): void {
  describe(`features on ${name}`, () => {
    let engine: FeaturesEngine
    let object: FeatureObject
    let tenantId: TenantId
    beforeAll(async () => {
      const view = await compileView(
        'velocity',
        {
          entity: 'card',
          event_type: 'payment',
          features: {
            count: { agg: 'count', window: '1h' },
            sum: { agg: 'sum', of: 'amount', window: '1h' },
          },
        },
        TYPE,
      )
      plan = await compileService(
        'fraud',
        { features: ['velocity:*'] },
        new Map([['velocity', view]]),
      )
      engine = await open()
    })
    afterAll(() => engine.close())
    const fresh = () => {
      tenantId = newId('tenant')
      object = engine.object(tenantId)
    }

    test('an event is applied once, however often it comes, and keeps its place', async () => {
      fresh()
      const [a, b] = [eventOf('a', 1_050), eventOf('b', 2_000)]
      const { positions } = await apply(object, [a, b])
      expect(positions.map(({ seq }) => seq)).toEqual([1, 2])
      expect((await apply(object, [b, a])).positions).toEqual(positions.toReversed())
      const { views, seq, at } = await read(object)
      expect([views[0]!.values, seq]).toEqual([[2, 3_050], 2])
      expect(at).toBeGreaterThan(positions[1]!.knownAt)
    })

    test('a view is explained by the events that make it, as of now and as of then', async () => {
      fresh()
      const [early, late] = [eventOf('x1', 100), eventOf('x2', 200)]
      const { positions } = await apply(object, [early, late])
      const [view] = plan.views
      const about = { view: view!, entity: 'card', entityKey: 'c1', eventsMax: 10 }
      const now = await object.explain(about)
      expect(now.views[0]!.values).toEqual([2, 300])
      expect(now.events.map(({ seq, features }) => [seq, features])).toEqual([
        [2, ['count', 'sum']],
        [1, ['count', 'sum']],
      ])
      const then = await object.explain({ ...about, at: positions[0]!.knownAt, eventsMax: 1 })
      expect(then.views[0]!.values).toEqual([1, 100])
      expect(then).toMatchObject({ events: [{ seq: 2, leftOut: 'not_known_yet' }], eventsTotal: 2 })
    })

    test('a plan is told once, and again to an object that has woken', async () => {
      fresh()
      expect((await read(object)).views[0]!.values).toEqual([0, null])
      expect((await read(object)).views[0]!.statuses).toEqual(['PRESENT', 'NOT_FOUND'])
      const unknown = { planHash: 'unknown', keys: [] }
      await expect(object.read(unknown)).rejects.toMatchObject({ code: 'plan_wanted' })
      expect((await read(object)).views[0]!.values).toEqual([0, null])
    })

    test('a seq that is not there yet is refused, and the next read goes on', async () => {
      fresh()
      const keys = [{ entity: 'card', entityKey: 'c1' }]
      const minSeq = { [partitionOf('card', 'c1')]: 1 }
      const ask = () => object.read({ planHash: plan.hash, plan, keys, minSeq })
      await expect(ask()).rejects.toMatchObject({ code: 'not_fresh' })
      await apply(object, [eventOf('c', 1)])
      expect((await ask()).reads[0]!.seq).toBe(1)
    })

    test('the k-th of decisions made at once sees the k-1 before it', async () => {
      fresh()
      const events = Array.from({ length: 20 }, (_, i) => eventOf(`d${i}`, 100))
      const decided = await Promise.all(events.map(event => decide(object, event)))
      const bySeq = decided.toSorted((a, b) => a.position.seq - b.position.seq)
      expect(bySeq.map(({ position }) => position.seq)).toEqual(events.map((_, i) => i + 1))
      expect(bySeq.map(({ reads }) => reads[0]!.views[0]!.values[0])).toEqual(
        events.map((_, i) => i),
      )
    })

    test('a decision asked again is the same one, and by another body is refused', async () => {
      fresh()
      const event = eventOf('e', 500)
      const first = await decide(object, event)
      await decide(object, eventOf('f', 500))
      expect(await decide(object, event)).toEqual({ ...first, repeated: true })
      const other = eventOf('e', 501)
      await expect(decide(object, other)).rejects.toMatchObject({ code: 'event_conflict' })
    })

    test('an event that came by the ordinary way first is decided by what was before it', async () => {
      fresh()
      await apply(object, [eventOf('g', 100), eventOf('h', 200), eventOf('i', 400)])
      const { reads, position } = await decide(object, eventOf('h', 200))
      expect([reads[0]!.views[0]!.values, position.seq]).toEqual([[1, 100], 2])
      expect((await read(object)).views[0]!.values).toEqual([3, 700])
    })

    test('what was answered is there after a crash, and time has not gone back', async () => {
      fresh()
      const event = eventOf('j', 700)
      const { positions } = await apply(object, [event])
      const decided = await decide(object, eventOf('k', 100))
      const before = await read(object)
      await engine.crash()
      expect((await apply(object, [event])).positions).toEqual(positions)
      expect(await decide(object, eventOf('k', 100))).toEqual({ ...decided, repeated: true })
      const after = await read(object)
      expect(after.views).toEqual(before.views)
      expect(after.at).toBeGreaterThan(before.at)
      const next = await apply(object, [eventOf('l', 1)])
      expect(next.positions[0]!.seq).toBe(3)
      expect(next.positions[0]!.knownAt).toBeGreaterThan(after.at)
    })

    test('a decision is told for as long as the functions refuse it, with those made meanwhile', async () => {
      fresh()
      const { functions } = engine
      functions.refuse()
      await decide(object, eventOf('m', 100))
      await expect.poll(() => functions.refused(tenantId), PATIENCE).toBeGreaterThan(1)
      await decide(object, eventOf('n', 100))
      await expect.poll(() => functions.refused(tenantId), PATIENCE).toBeGreaterThan(REFUSALS)
      functions.take()
      await expect.poll(() => functions.told(tenantId), PATIENCE).toEqual(['m', 'n'])
      await decide(object, eventOf('o', 100))
      await expect.poll(() => functions.told(tenantId), PATIENCE).toEqual(['m', 'n', 'o'])
    })

    test('a decision that was not told when its host died is told by the next one', async () => {
      fresh()
      const { functions } = engine
      functions.refuse()
      await decide(object, eventOf('p', 100))
      await expect.poll(() => functions.refused(tenantId), PATIENCE).toBeGreaterThan(0)
      await engine.crash()
      functions.take()
      await read(object)
      await expect.poll(() => functions.told(tenantId), PATIENCE).toContain('p')
    })
  })
}
