/**
 * From the log to the objects: each event of a batch goes to the partitions of its entities, which give
 * it a position, and the positions are stored as the batch is struck off.
 */
import { and, asc, eq, lt, sql } from 'drizzle-orm'
import type { Clock, Database, FeatureObjects, Log, Unit } from '#core/deps.ts'
import { inFull } from '#core/error.ts'
import { columnOf } from '#core/sql-columns.ts'
import type { EventType, Placement, Position } from '#schemas/event.ts'
import type { BatchId, TenantId } from '#schemas/ids.ts'
import { eventBatches } from '#schemas/tables/events.ts'
import { placementsOf } from './contract.ts'
import { typeAt } from './declare.ts'
import { bare, type Logged, loggedEvents } from './rows.ts'

/** Whoever took it in has died, or the objects were away. */
const LEFT_MS = 15_000
const SWEPT_MAX = 50
/** Placements of one call, which reads wait for: a commit costs as much as some hundred of them. */
const APPLIED_MAX = 1_000

type Deps = { db: Database; clock: Clock; features: FeatureObjects }
/** An event with its placements, which for a retraction are those of what it takes back. */
export type Placeable = Logged & { type: EventType; placements: Placement[] }
type Batch = { id: BatchId; events: Placeable[]; checkedAt: number }
type Waiting = { tenantId: TenantId; id: BatchId; keys: string[]; createdAt: Date }

/** Places a batch that is in the log. May be done twice: a position is given once. */
export async function place(deps: Deps, tenantId: TenantId, batch: Batch): Promise<Position[]> {
  const positions = await applied(deps, tenantId, batch)
  const logged = new Map(batch.events.map(each => [each.event.key, each]))
  await deps.db.tenant(tenantId, async tx => {
    if (positions.length > 0) await storePositions(tx, tenantId, positions, logged)
    await tx.delete(eventBatches).where(eq(eventBatches.id, batch.id))
  })
  return positions
}

/** The events of a batch; those that are not at hand are read. */
export async function gather(
  unit: Pick<Unit, 'tx'>,
  tenantId: TenantId,
  keys: readonly string[],
  atHand: ReadonlyMap<string, Logged>,
): Promise<Placeable[]> {
  const read = await loggedEvents(
    unit,
    keys.filter(key => !atHand.has(key)),
  )
  const rows = [...keys.flatMap(key => atHand.get(key) ?? []), ...read]
  const all = new Map(rows.map(row => [row.event.key, row.event]))
  const targets = rows.flatMap(({ event }) => event.retracts ?? []).filter(key => !all.has(key))
  for (const { event } of await loggedEvents(unit, targets)) all.set(event.key, event)
  // What is taken back comes before what takes it back, where both are here.
  const isRetraction = ({ event }: Logged) => Number(event.retracts !== null)
  const found: Placeable[] = []
  for (const logged of rows.toSorted((a, b) => isRetraction(a) - isRetraction(b))) {
    const { event } = logged
    const target = event.retracts === null ? event : all.get(event.retracts)
    const { type: name, version } = target ?? event
    const type = await typeAt(unit, tenantId, name, version)
    // Stored with what it takes back, under the type of that.
    const placed = event.retracts === null ? event : { ...event, type: name }
    const placements = target ? placementsOf(type, placed, target.data) : []
    found.push({ ...logged, type, placements })
  }
  return found
}

/** Where events of the log stand. Those that are still to be placed are placed first. */
export async function positionsOf(
  deps: Deps,
  tenantId: TenantId,
  keys: readonly string[],
): Promise<Position[]> {
  const column = columnOf(keys)(key => key)
  const waiting = await deps.db.tenant(tenantId, tx =>
    tx.select().from(eventBatches).where(sql`${eventBatches.keys} && ${column}::uuid[]`),
  )
  for (const batch of waiting) await placeAgain(deps, batch)
  const { rows } = await deps.db.tenant(tenantId, tx =>
    tx.execute<Record<string, string>>(sql`
      select key, entity, entity_key, partition, seq, event_time, known_at from event_positions
      where (day, number) in (
        select day, number from event_keys where key = any(${column}::uuid[]))
      order by number, entity`),
  )
  return rows.map(row => ({
    eventKey: bare(row.key!),
    entity: row.entity!,
    entityKey: row.entity_key!,
    partition: Number(row.partition),
    seq: Number(row.seq),
    eventTime: Number(row.event_time),
    knownAt: Number(row.known_at),
  }))
}

/** Finishes what was left half done. One tenant's trouble is not another's. Returns how many batches there were. */
export async function placeWaiting(deps: Deps & { log: Log }): Promise<number> {
  const before = new Date(deps.clock.now() - LEFT_MS)
  let last: Waiting | null = null
  let count = 0
  for (;;) {
    const left: Waiting[] = await waitingBatches(deps.db, before, last)
    const ofTenants = Map.groupBy(left, ({ tenantId }) => tenantId)
    await Promise.all([...ofTenants.values()].map(batches => placeOrLog(deps, batches)))
    count += left.length
    if (left.length < SWEPT_MAX) return count
    last = left.at(-1)!
  }
}

async function placeOrLog(deps: Deps & { log: Log }, batches: Waiting[]): Promise<void> {
  for (const batch of batches) {
    const { tenantId: tenant, id } = batch
    try {
      await placeAgain(deps, batch)
    } catch (error) {
      deps.log.error('events.not_placed', { tenant, batch: id, error: inFull(error) })
      return
    }
  }
}

async function placeAgain(deps: Deps, { tenantId, id, keys }: Waiting): Promise<void> {
  const checkedAt = deps.clock.now()
  const events = await deps.db.tenant(tenantId, tx =>
    gather({ tx }, tenantId, keys.map(bare), new Map()),
  )
  await place(deps, tenantId, { id, events, checkedAt })
}

function waitingBatches(db: Database, before: Date, last: Waiting | null): Promise<Waiting[]> {
  const { createdAt, tenantId, id } = eventBatches
  const further =
    last &&
    sql`(${createdAt}, ${tenantId}, ${id}) >
    (${last.createdAt.toISOString()}::timestamptz, ${last.tenantId}, ${last.id})`
  return db.system(tx =>
    tx
      .select({ tenantId, id, keys: eventBatches.keys, createdAt })
      .from(eventBatches)
      .where(and(lt(createdAt, before), further ?? undefined))
      .orderBy(asc(createdAt), asc(tenantId), asc(id))
      .limit(SWEPT_MAX),
  )
}

async function applied(
  { features }: Deps,
  tenantId: TenantId,
  { events, checkedAt }: Batch,
): Promise<Position[]> {
  const groups = new Map<number, Placement[]>()
  const onlineDays: Record<string, number> = {}
  for (const { type, placements } of events) {
    onlineDays[type.type] = Math.max(onlineDays[type.type] ?? 0, type.online_days)
    for (const placement of placements) {
      const group = Math.floor(placement.partition / features.partitionsPerObject)
      const others = groups.get(group)
      if (others) others.push(placement)
      else groups.set(group, [placement])
    }
  }
  const ofGroup = async ([group, placements]: [number, Placement[]]) => {
    const object = features.group(tenantId, group)
    const positions: Position[] = []
    for (let at = 0; at < placements.length; at += APPLIED_MAX) {
      const some = placements.slice(at, at + APPLIED_MAX)
      positions.push(...(await object.apply({ placements: some, checkedAt, onlineDays })).positions)
    }
    return positions
  }
  return (await Promise.all([...groups].map(ofGroup))).flat()
}

async function storePositions(
  tx: Unit['tx'],
  tenantId: TenantId,
  positions: Position[],
  logged: ReadonlyMap<string, Logged>,
): Promise<void> {
  const column = columnOf(positions)
  await tx.execute(sql`
    insert into event_positions (tenant_id, day, number, key, entity, entity_key, partition, seq,
      event_time, known_at)
    select ${tenantId}, given.*
    from unnest(${column(p => logged.get(p.eventKey)!.day)}::date[],
      ${column(p => logged.get(p.eventKey)!.number)}::bigint[], ${column(p => p.eventKey)}::uuid[],
      ${column(p => p.entity)}::text[], ${column(p => p.entityKey)}::text[],
      ${column(p => p.partition)}::int[], ${column(p => p.seq)}::bigint[],
      ${column(p => p.eventTime)}::bigint[], ${column(p => p.knownAt)}::bigint[])
      as given (day, number, key, entity, entity_key, partition, seq, event_time, known_at)
    order by number, entity
    on conflict do nothing`)
}
