/**
 * Events into the log: told from their repetitions, stored, and noted as still to be placed, in one
 * transaction. Placing follows; whoever dies in between has left a batch that a sweep finishes.
 */
import { sql } from 'drizzle-orm'
import type { Clock, Database, FeatureObjects, Unit } from '#core/deps.ts'
import type { Event, Position } from '#schemas/event.ts'
import { newId, type TenantId } from '#schemas/ids.ts'
import { eventBatches } from '#schemas/tables/events.ts'
import { placeBatch } from './place.ts'

export type Outcome = 'stored' | 'duplicate' | 'conflict'
export type Ingested = {
  /** In the order of the events. */
  outcomes: Outcome[]
  /** Of all events that were not in conflict, of those before included. */
  positions: Position[]
}
export type IngestDeps = { db: Database; clock: Clock; features: FeatureObjects }
type Batch = { id: ReturnType<typeof newId<'batch'>>; day: string; keys: string[] }

/** Stores events and places them. Throws `unavailable`; then nothing is stored, or a sweep goes on. */
export async function ingest(
  deps: IngestDeps,
  tenantId: TenantId,
  events: readonly Event[],
  /** Part of the same transaction, told of the events that are new. */
  besides: (unit: Unit) => Promise<void> = async () => {},
): Promise<Ingested> {
  const stored = await deps.db.tenant(tenantId, async tx => {
    const unit = { tx, clock: deps.clock }
    const logged = await log(unit, tenantId, events)
    await besides(unit)
    return logged
  })
  const { batch, fresh } = stored
  const placed = batch ? await placeBatch(deps, tenantId, batch, fresh) : []
  return { outcomes: stored.outcomes, positions: placed }
}

const days = new Set<string>()

async function log(unit: Unit, tenantId: TenantId, events: readonly Event[]) {
  const day = new Date(unit.clock.now()).toISOString().slice(0, 10)
  if (!days.has(day)) {
    await unit.tx.execute(sql`select galley_event_day(${day}::date)`)
    days.add(day)
  }
  const first = firstOfEach(events)
  const before = await claim(unit, tenantId, day, [...first.values()])
  const fresh = [...first.values()].filter(({ key }) => !before.has(key))
  if (fresh.length > 0) await store(unit, tenantId, day, fresh)
  const outcomes = events.map((event): Outcome => {
    const hash = before.get(event.key) ?? first.get(event.key)!.bodyHash
    if (hash !== event.bodyHash) return 'conflict'
    return before.has(event.key) || first.get(event.key) !== event ? 'duplicate' : 'stored'
  })
  const conflicts = events.filter((_, i) => outcomes[i] === 'conflict')
  if (conflicts.length > 0) await reject(unit, tenantId, conflicts)
  const keys = await toBePlaced(unit, tenantId, day, fresh)
  const batch = keys.length > 0 ? await note(unit, tenantId, day, keys) : null
  return { outcomes, batch, fresh: new Map(fresh.map(event => [event.key, { event, day }])) }
}

/** Of events with the same key in one batch the first counts. */
function firstOfEach(events: readonly Event[]): Map<string, Event> {
  const first = new Map<string, Event>()
  for (const event of events) if (!first.has(event.key)) first.set(event.key, event)
  return first
}

/** Claims the keys; gives those that were taken before, with the hash of what took them. */
async function claim(
  unit: Unit,
  tenantId: TenantId,
  day: string,
  events: Event[],
): Promise<Map<string, string>> {
  // In one order everywhere: two batches that share keys would otherwise wait for each other.
  const sorted = events.toSorted((a, b) => (a.key < b.key ? -1 : 1))
  const keys = sorted.map(({ key }) => key)
  const hashes = sorted.map(({ bodyHash }) => bodyHash)
  const { rows } = await unit.tx.execute<{ key: string }>(sql`
    insert into event_keys (tenant_id, key, body_hash, day)
    select ${tenantId}, key::uuid, hash::uuid, ${day}::date
    from unnest(${param(keys)}::text[], ${param(hashes)}::text[]) as given (key, hash)
    on conflict do nothing returning key`)
  if (rows.length === keys.length) return new Map()
  const claimed = new Set(rows.map(({ key }) => bare(key)))
  const taken = keys.filter(key => !claimed.has(key))
  const { rows: found } = await unit.tx.execute<{ key: string; body_hash: string }>(sql`
    select key, body_hash from event_keys where key = any(${param(taken)}::uuid[])`)
  return new Map(found.map(row => [bare(row.key), bare(row.body_hash)]))
}

async function store(unit: Unit, tenantId: TenantId, day: string, events: Event[]): Promise<void> {
  const column = <T>(of: (event: Event) => T) => param(events.map(of))
  await unit.tx.execute(sql`
    insert into events (tenant_id, day, key, id, source, type, version, event_time, received_at,
      data, retracts, body_hash)
    select ${tenantId}, ${day}::date, key, id, source, type, version, event_time, received_at,
      data, retracts, body_hash
    from unnest(
      ${column(e => e.key)}::uuid[], ${column(e => e.id)}::text[], ${column(e => e.source)}::text[],
      ${column(e => e.type)}::text[], ${column(e => e.version)}::int[],
      ${column(e => e.eventTime)}::bigint[], ${column(e => e.receivedAt)}::bigint[],
      ${column(e => JSON.stringify(e.data))}::jsonb[], ${column(e => e.retracts)}::uuid[],
      ${column(e => e.bodyHash)}::uuid[])
      as given (key, id, source, type, version, event_time, received_at, data, retracts, body_hash)`)
}

async function reject(unit: Unit, tenantId: TenantId, events: Event[]): Promise<void> {
  const column = <T>(of: (event: Event) => T) => param(events.map(of))
  const detail = 'An event with this source and id was stored before, with another body.'
  await unit.tx.execute(sql`
    insert into event_rejections (tenant_id, at, source, id, type, code, detail, key, body_hash)
    select ${tenantId}, ${new Date(unit.clock.now()).toISOString()}::timestamptz, source, id, type,
      'event_conflict', ${detail}, key::uuid, hash::uuid
    from unnest(${column(e => e.source)}::text[], ${column(e => e.id)}::text[],
      ${column(e => e.type)}::text[], ${column(e => e.key)}::text[],
      ${column(e => e.bodyHash)}::text[]) as given (source, id, type, key, hash)
    on conflict do nothing`)
}

/** The new events, less retractions whose target is not there, and those that waited for one of these. */
async function toBePlaced(
  unit: Unit,
  tenantId: TenantId,
  day: string,
  fresh: Event[],
): Promise<string[]> {
  const retractions = fresh.filter(({ retracts }) => retracts !== null)
  const keys = fresh.map(({ key }) => key)
  const { rows: waited } = await unit.tx.execute<{ key: string }>(sql`
    delete from event_retractions where target = any(${param(keys)}::uuid[]) returning key`)
  const late = waited.map(({ key }) => bare(key))
  if (retractions.length === 0) return [...keys, ...late]
  const targets = retractions.map(({ retracts }) => retracts!)
  const { rows: there } = await unit.tx.execute<{ key: string }>(sql`
    select key from event_keys where key = any(${param(targets)}::uuid[])`)
  const known = new Set(there.map(({ key }) => bare(key)))
  const early = retractions.filter(({ retracts }) => !known.has(retracts!))
  for (const { retracts, key } of early) {
    await unit.tx.execute(sql`
      insert into event_retractions (tenant_id, target, key, day)
      values (${tenantId}, ${retracts}::uuid, ${key}::uuid, ${day}::date) on conflict do nothing`)
  }
  const waiting = new Set(early.map(({ key }) => key))
  return [...keys.filter(key => !waiting.has(key)), ...late]
}

async function note(unit: Unit, tenantId: TenantId, day: string, keys: string[]): Promise<Batch> {
  const now = unit.clock.now()
  const batch = { id: newId('batch', now), day, keys }
  await unit.tx.insert(eventBatches).values({ tenantId, ...batch, createdAt: new Date(now) })
  return batch
}

/** A whole array as one parameter: drizzle would make a list of it. */
function param(values: readonly unknown[]) {
  return sql.param(values)
}

/** Keys are 32 hex digits everywhere but in the database, which writes them with dashes. */
function bare(uuid: string): string {
  return uuid.replaceAll('-', '')
}
