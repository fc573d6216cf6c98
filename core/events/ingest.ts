/**
 * Events into the log: told from their repetitions, stored, and noted as still to be placed, in one
 * transaction. Placing follows; whoever dies in between has left a batch that a sweep finishes.
 */
import { sql } from 'drizzle-orm'
import type { Clock, Database, FeatureObjects, Unit } from '#core/deps.ts'
import { columnOf } from '#core/sql-columns.ts'
import type { Event, Position } from '#schemas/event.ts'
import { type BatchId, newId, type TenantId } from '#schemas/ids.ts'
import { eventBatches } from '#schemas/tables/events.ts'
import type { Placeable } from './apply.ts'
import { claim, known, lockLog, type Outcome } from './claim.ts'
import { prepareDay } from './day.ts'
import { gather, place, positionsOf } from './place.ts'
import { bare, type Logged } from './rows.ts'

export type { Outcome }
export type Ingested = {
  /** In the order of the events. */
  outcomes: Outcome[]
  positions: Position[]
}
export type IngestDeps = { db: Database; clock: Clock; features: FeatureObjects }
type Stored = { outcomes: Outcome[]; batch: { id: BatchId; events: Placeable[] } | null }

/**
 * Stores events and places those that are new; `positions` has theirs. When it throws, nothing is
 * stored, or it is and a sweep goes on: either way it may be tried again.
 */
export async function ingest(
  deps: IngestDeps,
  tenantId: TenantId,
  events: readonly Event[],
  /** What is to be stored in the same transaction. */
  besides: (unit: Unit) => Promise<void> = async () => {},
): Promise<Ingested> {
  const day = await prepareDay(deps)
  const checkedAt = deps.clock.now()
  const { outcomes, batch } = await deps.db.tenant(tenantId, async tx => {
    const unit = { tx, clock: deps.clock }
    await besides(unit)
    return log(unit, tenantId, day, events)
  })
  const positions = batch ? await place(deps, tenantId, { ...batch, checkedAt }) : []
  return { outcomes, positions }
}

/** The same, with the positions of those too that were there before: placed, if they were not yet. */
export async function ingestNow(
  deps: IngestDeps,
  tenantId: TenantId,
  events: readonly Event[],
): Promise<Ingested> {
  const { outcomes, positions } = await ingest(deps, tenantId, events)
  const fresh = new Set(events.flatMap(({ key }, i) => (outcomes[i] === 'stored' ? [key] : [])))
  const repeated = new Set(
    events.flatMap(({ key }, i) => (outcomes[i] === 'duplicate' && !fresh.has(key) ? [key] : [])),
  )
  const before = repeated.size > 0 ? await positionsOf(deps, tenantId, [...repeated]) : []
  return { outcomes, positions: [...positions, ...before] }
}

async function log(
  unit: Unit,
  tenantId: TenantId,
  day: string,
  events: readonly Event[],
): Promise<Stored> {
  await lockLog(unit, tenantId)
  const { fresh, outcomes } = await claim(unit, tenantId, day, events)
  const conflicts = events.filter((_, i) => outcomes[i] === 'conflict')
  if (conflicts.length > 0) await reject(unit, tenantId, conflicts)
  if (fresh.length === 0) return { outcomes, batch: null }
  await store(unit, tenantId, fresh)
  const keys = await toBePlaced(unit, tenantId, day, fresh)
  const id = await note(unit, tenantId, day, keys)
  const atHand = new Map(fresh.map(logged => [logged.event.key, logged]))
  return { outcomes, batch: { id, events: await gather(unit, tenantId, keys, atHand) } }
}

async function store(unit: Unit, tenantId: TenantId, fresh: Logged[]): Promise<void> {
  const place = columnOf(fresh)
  const column = columnOf(fresh.map(({ event }) => event))
  await unit.tx.execute(sql`
    insert into events (tenant_id, day, number, key, id, source, type, version, event_time,
      received_at, data, retracts, body_hash)
    select ${tenantId}, given.*
    from unnest(${place(l => l.day)}::date[], ${place(l => l.number)}::bigint[],
      ${column(e => e.key)}::uuid[], ${column(e => e.id)}::text[], ${column(e => e.source)}::text[],
      ${column(e => e.type)}::text[], ${column(e => e.version)}::int[],
      ${column(e => e.eventTime)}::bigint[], ${column(e => e.receivedAt)}::bigint[],
      ${column(e => JSON.stringify(e.data))}::jsonb[], ${column(e => e.retracts)}::uuid[],
      ${column(e => e.bodyHash)}::uuid[]) as given`)
}

async function reject(unit: Unit, tenantId: TenantId, events: Event[]): Promise<void> {
  const column = columnOf(events)
  const detail = 'An event with this source and id was stored before, with another body.'
  await unit.tx.execute(sql`
    insert into event_rejections (tenant_id, at, source, id, type, code, detail, key, body_hash)
    select ${tenantId}, ${new Date(unit.clock.now()).toISOString()}::timestamptz, source, id, type,
      'event_conflict', ${detail}, key, hash
    from unnest(${column(e => e.source)}::text[], ${column(e => e.id)}::text[],
      ${column(e => e.type)}::text[], ${column(e => e.key)}::uuid[],
      ${column(e => e.bodyHash)}::uuid[]) as given (source, id, type, key, hash)
    on conflict do nothing`)
}

/**
 * The new events, and the retractions that waited for one of them. A retraction whose target has not come
 * has no place yet: it is kept aside.
 */
async function toBePlaced(
  unit: Unit,
  tenantId: TenantId,
  day: string,
  fresh: Logged[],
): Promise<string[]> {
  const events = fresh.map(({ event }) => event)
  const retractions = events.filter(({ retracts }) => retracts !== null)
  const there = await known(
    unit,
    retractions.map(({ retracts }) => retracts!),
  )
  const early = retractions.filter(({ retracts }) => !there.has(retracts!))
  if (early.length > 0) {
    const column = columnOf(early)
    await unit.tx.execute(sql`
      insert into event_retractions (tenant_id, target, key, day)
      select ${tenantId}, target, key, ${day}::date
      from unnest(${column(e => e.retracts)}::uuid[], ${column(e => e.key)}::uuid[])
        as given (target, key)`)
  }
  const { rows: late } = await unit.tx.execute<{ key: string }>(sql`
    update event_retractions set due = true
    where target = any(${columnOf(events)(e => e.key)}::uuid[]) and not due returning key`)
  return [...events, ...late].map(({ key }) => bare(key))
}

async function note(unit: Unit, tenantId: TenantId, day: string, keys: string[]): Promise<BatchId> {
  const now = unit.clock.now()
  const id = newId('batch', now)
  await unit.tx.insert(eventBatches).values({ tenantId, id, day, keys, createdAt: new Date(now) })
  return id
}
