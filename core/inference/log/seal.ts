/**
 * Sealing the inference log: an hour of a model becomes a file, and the commit that says so removes its rows.
 * Whoever dies before has left a file whose row says `writing`, which the next one removes. All of it happens
 * under the lease of the tenant's log, under which subjects are erased too.
 */
import { and, eq, gt, lt, ne, or, sql } from 'drizzle-orm'
import * as blobKeys from '#core/blob-keys.ts'
import type { Blobs, Clock, Database, Log, Unit } from '#core/deps.ts'
import { AppError, inFull } from '#core/error.ts'
import * as events from '#core/events/events.ts'
import { columnOf } from '#core/sql-columns.ts'
import { newId, type SegmentId, type TenantId } from '#schemas/ids.ts'
import { inferenceLog, inferenceSegments } from '#schemas/tables/inference-log.ts'
import { fileRow, type InferenceFile, type InferenceFiles } from './files.ts'

export type SealDeps = {
  db: Database
  blobs: Blobs
  clock: Clock
  log: Log
  inferenceFiles: InferenceFiles
}
const HOUR_MS = 3_600_000
const DAY_MS = 86_400_000
/** For what runners have not told yet: what comes later makes a further file of the hour. */
const GRACE_MS = 300_000
/** Of one file; their tensors wait on disk meanwhile. */
const ROWS_MAX = 20_000
const PAGE_ROWS = 100

/** Whatever hour is over, of every tenant. One tenant's trouble is not another's. */
export async function sealDue(deps: SealDeps): Promise<void> {
  await ofEach(deps, 'not_sealed', async tenantId => {
    while (await sealNext(deps, tenantId));
  })
}

/** Files whose days are over. */
export async function expireDue(deps: SealDeps): Promise<void> {
  await ofEach(deps, 'not_expired', async tenantId => {
    const past = lt(inferenceSegments.expiresAt, new Date(deps.clock.now()))
    const due = await deps.db.tenant(tenantId, tx =>
      tx.select({ id: inferenceSegments.id }).from(inferenceSegments).where(past).limit(1),
    )
    if (due.length === 0) return
    await events.holding(deps, tenantId, async held => {
      await deps.db.tenant(tenantId, async tx => {
        await held.mustHold({ tx, clock: deps.clock })
        await tx.update(inferenceSegments).set({ state: 'leaving' }).where(past)
      })
      await clearAway(deps, tenantId, held)
    })
  })
}

async function ofEach(deps: SealDeps, what: string, work: (id: TenantId) => Promise<void>) {
  for await (const tenantId of events.eachTenant(deps.db)) {
    try {
      await work(tenantId)
    } catch (error) {
      deps.log.error(`inferences.${what}`, { tenant: tenantId, error: inFull(error) })
    }
  }
}

type Part = { model: string; hour: Date }

/** False: there is nothing, or another one is at it. */
async function sealNext(deps: SealDeps, tenantId: TenantId): Promise<boolean> {
  if ((await duePart(deps, tenantId)) === null) return false
  const done = await events.holding(deps, tenantId, async held => {
    await clearAway(deps, tenantId, held)
    const part = await duePart(deps, tenantId)
    if (part) await seal(deps, tenantId, held, part)
    return part !== null
  })
  return done ?? false
}

async function duePart({ db, clock }: SealDeps, tenantId: TenantId): Promise<Part | null> {
  const before = new Date(Math.floor((clock.now() - GRACE_MS) / HOUR_MS) * HOUR_MS)
  const [oldest] = await db.tenant(tenantId, tx =>
    tx
      .select({ model: inferenceLog.model, at: inferenceLog.at })
      .from(inferenceLog)
      .where(lt(inferenceLog.at, before))
      .orderBy(inferenceLog.at)
      .limit(1),
  )
  if (!oldest) return null
  const { model, at } = oldest
  return { model, hour: new Date(Math.floor(at.getTime() / HOUR_MS) * HOUR_MS) }
}

async function seal(deps: SealDeps, tenantId: TenantId, held: events.Held, part: Part) {
  const files = await deps.inferenceFiles.open()
  try {
    const ids: string[] = []
    const entities = new Set<string>()
    let days = 1
    for (let after: { at: Date; id: string } | null = null; ids.length < ROWS_MAX; ) {
      await held.renew()
      const rows = await pageOf(deps, tenantId, part, after)
      await files.add(rows.map(fileRow))
      for (const { id, subjectEntity, retentionDays } of rows) {
        ids.push(id)
        if (subjectEntity !== null) entities.add(subjectEntity)
        days = Math.max(days, retentionDays)
      }
      if (rows.length < PAGE_ROWS) break
      after = rows.at(-1)!
    }
    const expiresAt = new Date(part.hour.getTime() + HOUR_MS + days * DAY_MS)
    const about = { ...part, subjectEntities: [...entities], expiresAt }
    const id = await store(deps, tenantId, held, { ...about, file: await files.sealed() })
    await deps.db.tenant(tenantId, async tx => {
      await publish({ tx, clock: deps.clock }, held, id)
      const listed = columnOf(ids)(id => id)
      await tx.delete(inferenceLog).where(sql`${inferenceLog.id} = any(${listed}::text[])`)
    })
    const { model, hour } = part
    const line = { tenant: tenantId, model, hour: hour.toISOString(), rows: ids.length }
    deps.log.info('inferences.sealed', line)
  } finally {
    await files.close()
  }
}

function pageOf(
  { db }: SealDeps,
  tenantId: TenantId,
  { model, hour }: Part,
  after: { at: Date; id: string } | null,
) {
  const { at, id } = inferenceLog
  const end = new Date(hour.getTime() + HOUR_MS)
  const behind = after
    ? or(gt(at, after.at), and(eq(at, after.at), gt(id, after.id)))
    : sql`${at} >= ${hour.toISOString()}::timestamptz`
  return db.tenant(tenantId, tx =>
    tx
      .select()
      .from(inferenceLog)
      .where(and(eq(inferenceLog.model, model), behind, lt(at, end)))
      .orderBy(at, id)
      .limit(PAGE_ROWS),
  )
}

type Stored = Pick<
  typeof inferenceSegments.$inferSelect,
  'model' | 'hour' | 'subjectEntities' | 'expiresAt'
> & { file: InferenceFile }

/** Stores a file whose row says `writing` until `publish`. */
export async function store(
  deps: SealDeps,
  tenantId: TenantId,
  held: events.Held,
  { file, ...about }: Stored,
): Promise<SegmentId> {
  const id = newId('segment', deps.clock.now())
  const blob = blobKeys.inferences(tenantId, id)
  const { sha256, bytes, rows } = file
  const sealedAt = new Date(deps.clock.now())
  await deps.db.tenant(tenantId, async tx => {
    await held.mustHold({ tx, clock: deps.clock })
    const row = { tenantId, id, ...about, state: 'writing' as const, blob, sha256, bytes, rows }
    await tx.insert(inferenceSegments).values({ ...row, sealedAt })
  })
  await deps.blobs.put(blob, file.content(), { sha256, sizeMax: bytes })
  try {
    await held.renew()
  } catch (error) {
    // Whoever has it now has removed the row, and no erasure would ever find the file.
    await deps.blobs.delete(blob)
    throw error
  }
  return id
}

/** Part of the transaction that makes the file count. */
export async function publish(unit: Unit, held: events.Held, id: SegmentId): Promise<void> {
  await held.mustHold(unit)
  const rows = await unit.tx
    .update(inferenceSegments)
    .set({ state: 'sealed' })
    .where(and(eq(inferenceSegments.id, id), eq(inferenceSegments.state, 'writing')))
    .returning({ id: inferenceSegments.id })
  if (rows.length === 1) return
  throw new AppError('conflict', { internal: 'the segment was taken away', retryable: true })
}

/** Files of those that died while they wrote, and those that are to leave. */
export async function clearAway(deps: SealDeps, tenantId: TenantId, held: events.Held) {
  const left = await deps.db.tenant(tenantId, tx =>
    tx.select().from(inferenceSegments).where(ne(inferenceSegments.state, 'sealed')),
  )
  for (const { id, blob } of left) {
    await held.renew()
    await deps.blobs.delete(blob)
    await deps.db.tenant(tenantId, async tx => {
      await held.mustHold({ tx, clock: deps.clock })
      await tx.delete(inferenceSegments).where(eq(inferenceSegments.id, id))
    })
  }
}
