/**
 * From the log to the objects: each event of a batch goes to the partitions of its entities, which give
 * it a position, and the positions are stored as the batch is struck off.
 */
import { and, inArray, lt, sql } from 'drizzle-orm'
import type { Clock, Database, FeatureObjects, Unit } from '#core/deps.ts'
import type { Event, EventType, Placement, Position, Value } from '#schemas/event.ts'
import type { BatchId, TenantId } from '#schemas/ids.ts'
import { eventBatches, events } from '#schemas/tables/events.ts'
import { placementsOf } from './contract.ts'
import { typeAt } from './declare.ts'

/** Whoever took it in has died, or the objects were away. */
const LEFT_MS = 15_000
const SWEPT_MAX = 50

type Deps = { db: Database; clock: Clock; features: FeatureObjects }
type Batch = { id: BatchId; keys: string[] }
export type Logged = { event: Event; day: string }
type Stored = { event: Event; type: EventType; entityData: Record<string, Value> | null }

/** Places a batch that is in the log. May be done twice: a position is given once. */
export async function placeBatch(
  deps: Deps,
  tenantId: TenantId,
  batch: Batch,
  /** Those that the caller has at hand; the others are read. */
  atHand: ReadonlyMap<string, Logged> = new Map(),
): Promise<Position[]> {
  const checkedAt = deps.clock.now()
  const found = await deps.db.tenant(tenantId, tx =>
    stored({ tx, clock: deps.clock }, tenantId, batch.keys, atHand),
  )
  const days = new Map(found.map(({ day, event }) => [event.key, day]))
  const positions = await applied(deps, tenantId, found, checkedAt)
  await deps.db.tenant(tenantId, async tx => {
    await storePositions({ tx, clock: deps.clock }, tenantId, positions, days)
    await tx.delete(eventBatches).where(inArray(eventBatches.id, [batch.id]))
  })
  return positions
}

/** Finishes what was left half done. Returns how many batches there were. */
export async function placeWaiting(deps: Deps): Promise<number> {
  const before = new Date(deps.clock.now() - LEFT_MS)
  const left = await deps.db.system(tx =>
    tx
      .select()
      .from(eventBatches)
      .where(and(lt(eventBatches.createdAt, before)))
      .orderBy(eventBatches.createdAt)
      .limit(SWEPT_MAX),
  )
  for (const { tenantId, id, keys } of left) {
    await placeBatch(deps, tenantId, { id, keys: keys.map(key => key.replaceAll('-', '')) })
  }
  return left.length
}

async function applied(
  { features }: Deps,
  tenantId: TenantId,
  found: Stored[],
  checkedAt: number,
): Promise<Position[]> {
  const groups = new Map<number, Placement[]>()
  const onlineDays: Record<string, number> = {}
  for (const { event, type, entityData } of found) {
    onlineDays[event.type] = Math.max(onlineDays[event.type] ?? 0, type.online_days)
    if (entityData === null) continue
    for (const placement of placementsOf(type, event, entityData)) {
      const group = Math.floor(placement.partition / features.partitionsPerObject)
      const placements = groups.get(group)
      if (placements) placements.push(placement)
      else groups.set(group, [placement])
    }
  }
  const replies = await Promise.all(
    [...groups].map(([group, placements]) =>
      features.group(tenantId, group).apply({ placements, checkedAt, onlineDays }),
    ),
  )
  return replies.flatMap(({ positions }) => positions)
}

/** The events with their types; a retraction has the entities of what it takes back. */
async function stored(
  unit: Unit,
  tenantId: TenantId,
  keys: string[],
  atHand: ReadonlyMap<string, Logged>,
): Promise<(Stored & { day: string })[]> {
  const read = await eventsOf(
    unit,
    keys.filter(key => !atHand.has(key)),
  )
  const rows = [...keys.flatMap(key => atHand.get(key) ?? []), ...read]
  const all = new Map(rows.map(row => [row.event.key, row.event]))
  const targets = rows.flatMap(({ event }) => event.retracts ?? []).filter(key => !all.has(key))
  for (const { event } of await eventsOf(unit, targets)) all.set(event.key, event)
  const found: (Stored & { day: string })[] = []
  // What is taken back comes before what takes it back, where both are here.
  const isRetraction = ({ event }: Logged) => Number(event.retracts !== null)
  for (const { event, day } of rows.toSorted((a, b) => isRetraction(a) - isRetraction(b))) {
    const of = event.retracts === null ? event : all.get(event.retracts)
    const type = await typeAt(unit, tenantId, of?.type ?? event.type, of?.version ?? event.version)
    found.push({ event: { ...event, type: type.type }, day, type, entityData: of?.data ?? null })
  }
  return found
}

async function eventsOf(unit: Unit, keys: string[]): Promise<Logged[]> {
  if (keys.length === 0) return []
  const rows = await unit.tx
    .select()
    .from(events)
    .where(sql`${events.key} = any(${sql.param(keys)}::uuid[])`)
    .orderBy(events.receivedAt)
  return rows.map(({ tenantId: _, day, key, bodyHash, retracts, ...rest }) => ({
    day,
    event: {
      ...rest,
      key: key.replaceAll('-', ''),
      bodyHash: bodyHash.replaceAll('-', ''),
      retracts: retracts?.replaceAll('-', '') ?? null,
    },
  }))
}

async function storePositions(
  unit: Unit,
  tenantId: TenantId,
  positions: Position[],
  days: Map<string, string>,
): Promise<void> {
  if (positions.length === 0) return
  const column = <T>(of: (position: Position) => T) => sql.param(positions.map(of))
  await unit.tx.execute(sql`
    insert into event_positions (tenant_id, day, key, entity, entity_key, partition, seq, known_at)
    select ${tenantId}, day, key, entity, entity_key, partition, seq, known_at
    from unnest(${column(p => days.get(p.eventKey))}::date[], ${column(p => p.eventKey)}::uuid[],
      ${column(p => p.entity)}::text[], ${column(p => p.entityKey)}::text[],
      ${column(p => p.partition)}::int[], ${column(p => p.seq)}::bigint[],
      ${column(p => p.knownAt)}::bigint[])
      as given (day, key, entity, entity_key, partition, seq, known_at)
    on conflict do nothing`)
}
