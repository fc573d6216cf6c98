/**
 * Erasure of a subject: every event that tells about it goes whole, from wherever it was kept. Each step
 * finds what is left by itself, so that whoever dies in between is followed by one who goes on; the log's
 * rows, by which the others are found, go last.
 */
import { eq, sql } from 'drizzle-orm'
import * as blobKeys from '#core/blob-keys.ts'
import type { FeatureObjects, Unit } from '#core/deps.ts'
import { inFull } from '#core/error.ts'
import { columnOf } from '#core/sql-columns.ts'
import type { TenantId } from '#schemas/ids.ts'
import { type Erased, eventErasures, eventSegments } from '#schemas/tables/segments.ts'
import { partitionOf } from '../partition.ts'
import { bare } from '../rows.ts'
import type { Place } from '../sealing/files.ts'
import { type Held, holding } from '../sealing/lease.ts'
import { clearAway, publish, type Segment, sealedSegments, store } from '../sealing/manifest.ts'
import { eachTenant, type SealDeps } from '../sealing/seal.ts'
import { type Erasure, openErasures } from './requests.ts'

/** What was on its way when the erasure was asked for has arrived by then, and is looked for once more. */
const SETTLED_MS = 120_000
const SCANNED_ROWS = 100_000
const KEYS_PER_CALL = 500

/** Removes what other features keep of the events, and of who was asked for; says how many decisions. */
export type EraseBesides = (unit: Unit, eventKeys: string[]) => Promise<number>
/** Removes what is kept of the subject in files of other features. Under the lease; may be asked again. */
export type EraseElsewhere = (tenantId: TenantId, who: Subject, held: Held) => Promise<void>
type Subject = { entity: string; entityKey: string }
export type EraseDeps = SealDeps & {
  features: FeatureObjects
  eraseBesides: EraseBesides
  eraseElsewhere: EraseElsewhere
}
type Work = { deps: EraseDeps; tenantId: TenantId; erasure: Erasure; held: Held; entityKey: string }

/** Goes on with whatever was asked for. One tenant's trouble is not another's. */
export async function eraseDue(deps: EraseDeps): Promise<void> {
  for await (const tenantId of eachTenant(deps.db)) await eraseOf(deps, tenantId)
}

export async function eraseOf(deps: EraseDeps, tenantId: TenantId): Promise<void> {
  for (const erasure of await deps.db.tenant(tenantId, tx => openErasures({ tx }))) {
    const isLooked = erasure.state === 'running'
    if (isLooked && deps.clock.now() < erasure.createdAt.getTime() + SETTLED_MS) continue
    try {
      await eraseOne(deps, tenantId, erasure)
    } catch (error) {
      const about = { tenant: tenantId, erasure: erasure.id }
      deps.log.error('events.not_erased', { ...about, error: inFull(error) })
    }
  }
}

async function eraseOne(deps: EraseDeps, tenantId: TenantId, erasure: Erasure): Promise<void> {
  const entityKey = erasure.subject!
  await holding(deps, tenantId, async held => {
    // Asked before, so that nothing that comes now can be taken for looked at.
    const isSettled = await settled(deps, tenantId, erasure)
    const work: Work = { deps, tenantId, erasure, held, entityKey }
    await inObjects(work, [], true)
    await inSegments(work)
    await inLog(work)
    await deps.eraseElsewhere(tenantId, { entity: erasure.entity, entityKey }, held)
    for (const { key } of await deps.blobs.list(blobKeys.exportsOf(tenantId))) {
      await deps.blobs.delete(key)
    }
    await clearAway(deps, tenantId, held)
    await deps.db.tenant(tenantId, async tx => {
      const unit = { tx, clock: deps.clock }
      await held.mustHold(unit)
      // A subject may be named where it has no events: in what was answered to who asked for it.
      await deps.eraseBesides(unit, [])
      const end = { state: 'done' as const, subject: null, finishedAt: new Date(deps.clock.now()) }
      const next = isSettled ? end : { state: 'running' as const }
      await tx.update(eventErasures).set(next).where(eq(eventErasures.id, erasure.id))
    })
    if (isSettled) deps.log.info('events.erased', { tenant: tenantId, erasure: erasure.id })
  })
}

/** Whether all that was taken before the erasure was asked for is where it is looked for. */
async function settled(
  { db, clock }: EraseDeps,
  tenantId: TenantId,
  { createdAt }: Erasure,
): Promise<boolean> {
  if (clock.now() < createdAt.getTime() + SETTLED_MS) return false
  const until = new Date(createdAt.getTime() + SETTLED_MS).toISOString()
  const { rows } = await db.tenant(tenantId, tx =>
    tx.execute(sql`select 1 from event_batches where created_at < ${until}::timestamptz limit 1`),
  )
  return rows.length === 0
}

/** Each event at each of its entities; and whatever the subject's own object has. */
async function inObjects(work: Work, places: readonly Place[], isOwn = false): Promise<void> {
  const { deps, tenantId, erasure, entityKey } = work
  const { partitionsPerObject } = deps.features
  const groupOf = (partition: number) => Math.floor(partition / partitionsPerObject)
  const groups = Map.groupBy(places, ({ partition }) => groupOf(partition))
  const own = groupOf(partitionOf(erasure.entity, entityKey))
  if (isOwn && !groups.has(own)) groups.set(own, [])
  for (const [group, its] of groups) {
    const object = deps.features.group(tenantId, group)
    const events = its.map(({ key, ...at }) => ({ ...at, eventKey: key }))
    const entity = isOwn && group === own ? { entity: erasure.entity, entityKey } : undefined
    for (let at = 0; at === 0 || at < events.length; at += KEYS_PER_CALL) {
      await object.erase({ entity, events: events.slice(at, at + KEYS_PER_CALL) })
    }
  }
}

/** A segment without the subject takes the place of one with it. */
async function inSegments(work: Work): Promise<void> {
  const { deps, tenantId, erasure, entityKey } = work
  const partition = partitionOf(erasure.entity, entityKey)
  const some = await deps.db.tenant(tenantId, tx => sealedSegments({ tx }, { partition }))
  for (const segment of some) await inSegment(work, segment)
}

async function inSegment(work: Work, segment: Segment): Promise<void> {
  const { deps, tenantId, erasure, held, entityKey } = work
  const who = { entity: erasure.entity, entityKey }
  const spool = await deps.openSpool()
  try {
    await held.renew()
    const path = await deps.blobs.localFile(segment.blob)
    const places = await spool.placesOf(path, who)
    if (places.length === 0) return
    await inObjects(work, places)
    const content = await spool.without(path, who)
    const { type, version, hour } = segment
    const id = await store(deps, tenantId, held, { type, version, hour: hour.getTime(), content })
    await deps.db.tenant(tenantId, async tx => {
      const unit = { tx, clock: deps.clock }
      await held.mustHold(unit)
      await publish(unit, [id])
      await tx
        .update(eventSegments)
        .set({ state: 'superseded', supersededBy: id })
        .where(eq(eventSegments.id, segment.id))
      const keys = keysOf(places)
      // The others are counted when their rows are removed.
      const events = keys.length - (await countInLog(unit, keys))
      await elsewhere(unit, work, { keys, events, segments: 1 })
    })
  } finally {
    await spool.close()
  }
}

/** In steps of so many rows: no index leads from an entity to its places. */
async function inLog(work: Work): Promise<void> {
  const { deps, tenantId, erasure, held, entityKey } = work
  for (let after = 0; ; ) {
    await held.renew()
    const { rows } = await deps.db.tenant(tenantId, tx =>
      tx.execute<{ count: number; last: string | null; numbers: string[] | null }>(sql`
        select count(*)::int as count, max(number) as last,
          array_agg(distinct number) filter (
            where entity = ${erasure.entity} and entity_key = ${entityKey}) as numbers
        from (select number, entity, entity_key from event_positions where number > ${after}
          order by number limit ${SCANNED_ROWS}) as scanned`),
    )
    const { count, last, numbers } = rows[0]!
    if (numbers) await removeRows(work, numbers.map(Number))
    if (count < SCANNED_ROWS) return
    // The last event may have further places behind the end.
    after = Number(last) - 1
  }
}

async function removeRows(work: Work, numbers: number[]): Promise<void> {
  const { deps, tenantId, held } = work
  for (let at = 0; at < numbers.length; at += KEYS_PER_CALL) {
    const listed = sql`${columnOf(numbers.slice(at, at + KEYS_PER_CALL))(n => n)}::bigint[]`
    const { rows } = await deps.db.tenant(tenantId, tx =>
      tx.execute<Place>(
        sql`select key, partition, entity, entity_key as "entityKey" from event_positions
          where number = any(${listed})`,
      ),
    )
    const places = rows.map(({ key, ...at }) => ({ ...at, key: bare(key) }))
    await inObjects(work, places)
    await deps.db.tenant(tenantId, async tx => {
      const unit = { tx, clock: deps.clock }
      // Without the lease another may be sealing just these rows.
      await held.mustHold(unit)
      const keys = keysOf(places)
      await elsewhere(unit, work, { keys, events: keys.length })
      await tx.execute(sql`delete from event_positions where number = any(${listed})`)
      await tx.execute(sql`delete from events where number = any(${listed})`)
    })
  }
}

/** What else names the events; keys stay, being hashes, so that a repetition does not come in again. */
async function elsewhere(
  unit: Unit,
  { deps, erasure }: Work,
  { keys, events, segments = 0 }: { keys: string[]; events: number; segments?: number },
): Promise<void> {
  const { rowCount } = await unit.tx.execute(
    sql`delete from event_rejections where key = any(${columnOf(keys)(key => key)}::uuid[])`,
  )
  const more: Erased = {
    events,
    segments,
    decisions: await deps.eraseBesides(unit, keys),
    rejections: rowCount ?? 0,
  }
  const sum = Object.entries(more).map(
    ([name, count]) => sql`${name}::text, (erased->>${name})::bigint + ${count}::bigint`,
  )
  await unit.tx.execute(sql`update event_erasures
    set state = 'running', erased = jsonb_build_object(${sql.join(sum, sql`, `)})
    where id = ${erasure.id}`)
}

/** How many of the events have rows in the database still. */
async function countInLog({ tx }: Unit, keys: readonly string[]): Promise<number> {
  const { rows } = await tx.execute<{ count: number }>(sql`
    select count(*)::int as count from events where (day, number) in (
      select day, number from event_keys where key = any(${columnOf(keys)(key => key)}::uuid[]))`)
  return rows[0]!.count
}

function keysOf(places: readonly Place[]): string[] {
  return [...new Set(places.map(({ key }) => key))]
}
