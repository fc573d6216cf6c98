/**
 * One case through the real object, as a careful sender drives it: what was not answered is sent again.
 * The object dies between commits, and wakes from what it had stored.
 */
import type { EntityKey, EntityRead } from '#core/deps.ts'
import { entityKeyOf, placementsOf } from '#core/events/contract.ts'
import { compileService, compileView } from '#core/features/compile.ts'
import { type Answer, valueIn } from '#core/features/partition-object.ts'
import { OBJECT_CLASSES } from '#platform/objects/classes.ts'
import { type ObjectHost, openObjects } from '#platform/objects/sqlite.ts'
import type { Event, Position, Value } from '#schemas/event.ts'
import type { ServicePlan, ViewPlan } from '#schemas/feature.ts'
import { type Case, EVENT_TYPE, START_MS } from './cases.ts'

export type Served = EntityKey & { t: number; read: EntityRead }
export type Played = {
  plan: ServicePlan
  /** Each event with its place at each of its entities, in the order in which it was applied. */
  positions: { position: Position; event: Event }[]
  served: Served[]
  crashes: number
}

const log = { info() {}, error() {} }

export async function play(one: Case, folder: string): Promise<Played> {
  const plan = await planOf(one)
  let nowMs = START_MS
  const name = `proof-${one.seed}`
  const open = () =>
    openObjects({ folder, classes: OBJECT_CLASSES, clock: { now: () => nowMs }, log })
  let host = open()
  const played: Played = { plan, positions: [], served: [], crashes: 0 }
  const places = new Map<string, { position: Position; event: Event }>()
  const sent = new Map<string, Event>()

  function reopen(): void {
    host.close()
    host = open()
    played.crashes++
  }

  for (const step of one.steps) {
    if (step.do === 'clock') nowMs += step.ms
    else if (step.do === 'read') {
      for (const key of keysOf(step.card, step.shop))
        played.served.push(await read(host, name, plan, key))
    } else {
      for (const event of step.events) sent.set(event.key, event)
      const apply = () => applied(host, name, step.events, sent, nowMs)
      if (step.crash === 'before') reopen()
      if (step.crash === 'after') {
        await apply()
        reopen()
      }
      for (const found of await apply()) places.set(placeOf(found.position), found)
    }
  }
  host.close()
  played.positions = [...places.values()]
  return played
}

function placeOf({ eventKey, entity, entityKey }: Position): string {
  return `${eventKey} ${entity} ${entityKey}`
}

/** Retractions go to the entities of what they take back, as ingestion sends them. */
async function applied(
  host: ObjectHost,
  name: string,
  events: readonly Event[],
  sent: ReadonlyMap<string, Event>,
  nowMs: number,
): Promise<{ position: Position; event: Event }[]> {
  const placements = events.flatMap(event =>
    placementsOf(EVENT_TYPE, event, event.retracts ? targetData(event, sent) : event.data),
  )
  const input = { placements, checkedAt: nowMs, onlineDays: { [EVENT_TYPE.type]: 40 } }
  const reply = await called<{ positions: Position[] }>(host, name, 'apply', input)
  const byKey = new Map(events.map(event => [event.key, event]))
  return reply.positions.map(position => ({ position, event: byKey.get(position.eventKey)! }))
}

/** Of an event that never comes nothing is known: its retraction stands at a card of its own. */
function targetData(event: Event, sent: ReadonlyMap<string, Event>): Record<string, Value> {
  const target = sent.get(event.retracts!)
  if (target && target.retracts === null) return target.data
  // Known to the sender, though not yet sent: the retraction overtakes its event.
  return { card: 'c1', shop: 'm1' }
}

function keysOf(card: string, shop: string): EntityKey[] {
  return [
    { entity: 'card', entityKey: card },
    { entity: 'pair', entityKey: entityKeyOf(['card', 'shop'], { card, shop })! },
  ]
}

async function read(
  host: ObjectHost,
  name: string,
  plan: ServicePlan,
  key: EntityKey,
): Promise<Served> {
  const input = { planHash: plan.hash, plan, keys: [key] }
  const { reads } = await called<{ reads: EntityRead[] }>(host, name, 'read', input)
  const [found] = reads
  return { ...key, t: found!.at, read: found! }
}

async function called<T>(host: ObjectHost, name: string, method: string, input: unknown) {
  return valueIn((await host.call('features', name, method, input)) as Answer<T>)
}

async function planOf({ views }: Case): Promise<ServicePlan> {
  const plans = new Map<string, ViewPlan>()
  for (const { name, definition } of views) {
    plans.set(name, await compileView(name, definition, EVENT_TYPE))
  }
  const features = views.map(({ name }) => `${name}:*`)
  return compileService('proof', { features }, plans)
}
