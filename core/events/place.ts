/**
 * From the log to the objects: each event of a batch goes to the partitions of its entities, which give
 * it a position, and the positions are stored as the batch is struck off.
 */
import { and, asc, eq, lt, sql } from 'drizzle-orm'
import type { Clock, Database, FeatureObjects, Log, Unit } from '#core/deps.ts'
import { AppError, inFull } from '#core/error.ts'
import { columnOf } from '#core/sql-columns.ts'
import type { Position } from '#schemas/event.ts'
import type { BatchId, TenantId } from '#schemas/ids.ts'
import { eventBatches } from '#schemas/tables/events.ts'
import { applied, type FailedObjects, type Placeable, type Unplaced } from './apply.ts'
import { placementsOf } from './contract.ts'
import { typeAt } from './declare.ts'
import { bare, type Logged, loggedEvents } from './rows.ts'

/** Whoever took it in has died, or the objects were away. */
const LEFT_MS = 15_000
const SWEPT_MAX = 50
/** Objects are away for moments; what waits for longer waits for somebody. */
const LATE_MS = 600_000
/** Each has a request under way at each of few connections. */
const TENANTS_AT_ONCE = 8
/** Batches of a tenant that found further objects failing: more of them are not waited for in one sweep. */
const FUTILE_MAX = 3

type Deps = { db: Database; clock: Clock; features: FeatureObjects }
type Batch = Unplaced & { id: BatchId }
type Trouble = { failed: FailedObjects; futile: number; late: number }
type Waiting = { tenantId: TenantId; id: BatchId; keys: string[]; createdAt: Date }

/**
 * Places a batch that is in the log. May be done twice: a position is given once. Where some objects fail,
 * what the others gave is kept, the batch stays for the rest of it, and the first error is thrown.
 */
export async function place(
  deps: Deps,
  tenantId: TenantId,
  batch: Batch,
  failed: FailedObjects = new Map(),
): Promise<Position[]> {
  const { positions, errors } = await applied(deps.features, tenantId, batch, failed)
  if (positions.length === 0 && errors.length > 0) throw errors[0]
  const logged = new Map(batch.events.map(each => [each.event.key, each]))
  await deps.db.tenant(tenantId, async tx => {
    if (positions.length > 0) await storePositions(tx, tenantId, positions, logged)
    if (errors.length === 0) await tx.delete(eventBatches).where(eq(eventBatches.id, batch.id))
  })
  if (errors.length > 0) throw errors[0]
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

/**
 * Finishes what was left half done. One tenant's trouble is not another's. Returns how many batches there were;
 * throws at the end where one has failed for long, so that somebody is called.
 */
export async function placeWaiting(deps: Deps & { log: Log }): Promise<number> {
  const before = new Date(deps.clock.now() - LEFT_MS)
  const troubles = new Map<TenantId, Trouble>()
  let last: Waiting | null = null
  let count = 0
  for (;;) {
    const left: Waiting[] = await waitingBatches(deps.db, before, last)
    const ofTenants = [...Map.groupBy(left, ({ tenantId }) => tenantId)]
    for (let at = 0; at < ofTenants.length; at += TENANTS_AT_ONCE) {
      await Promise.all(
        ofTenants.slice(at, at + TENANTS_AT_ONCE).map(([tenantId, batches]) => {
          const trouble = troubles.get(tenantId) ?? { failed: new Map(), futile: 0, late: 0 }
          troubles.set(tenantId, trouble)
          return placeOrLog(deps, batches, trouble)
        }),
      )
    }
    count += left.length
    if (left.length < SWEPT_MAX) break
    last = left.at(-1)!
  }
  const late = [...troubles.values()].reduce((sum, trouble) => sum + trouble.late, 0)
  if (late === 0) return count
  throw new AppError('unavailable', {
    internal: `batches of events that have waited to be placed for more than ${LATE_MS / 60_000} minutes: ${late}; events.not_placed in the log names them`,
  })
}

/** One batch that cannot be placed keeps no other of its tenant: each has objects of its own. */
async function placeOrLog(
  deps: Deps & { log: Log },
  batches: Waiting[],
  trouble: Trouble,
): Promise<void> {
  const left = [...batches]
  while (left.length > 0 && trouble.futile < FUTILE_MAX) {
    // After a failure chance says which is next: those before it must not be tried alone every time.
    const at = trouble.failed.size > 0 ? Math.floor(Math.random() * left.length) : 0
    const [batch] = left.splice(at, 1) as [Waiting]
    const { tenantId: tenant, id } = batch
    const failedBefore = trouble.failed.size
    try {
      await placeAgain(deps, batch, trouble.failed)
    } catch (error) {
      if (trouble.failed.size > failedBefore) trouble.futile++
      if (deps.clock.now() - batch.createdAt.getTime() > LATE_MS) trouble.late++
      deps.log.error('events.not_placed', { tenant, batch: id, error: inFull(error) })
    }
  }
}

/** What objects have not placed of it yet. */
async function placeAgain(
  deps: Deps,
  { tenantId, id, keys }: Waiting,
  failed?: FailedObjects,
): Promise<void> {
  const checkedAt = deps.clock.now()
  const events = await deps.db.tenant(tenantId, async tx => {
    const all = await gather({ tx }, tenantId, keys.map(bare), new Map())
    const placed = await placedOf(tx, keys)
    return all.map(each => ({
      ...each,
      placements: each.placements.filter(
        ({ event, entity }) => !placed.has(`${event.key} ${entity}`),
      ),
    }))
  })
  await place(deps, tenantId, { id, events, checkedAt }, failed)
}

async function placedOf(tx: Unit['tx'], keys: readonly string[]): Promise<Set<string>> {
  const { rows } = await tx.execute<{ key: string; entity: string }>(sql`
    select key, entity from event_positions where (day, number) in (
      select day, number from event_keys where key = any(${columnOf(keys)(key => key)}::uuid[]))`)
  return new Set(rows.map(({ key, entity }) => `${bare(key)} ${entity}`))
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
