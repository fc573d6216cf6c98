/**
 * Sealing: an hour of a tenant's log becomes files, and from the commit that says so on they are what is
 * read of it. Whoever dies before has left a file without a row that counts, which the next one removes.
 */
import { asc, gt, sql } from 'drizzle-orm'
import type { Blobs, Clock, Database, Log, Unit } from '#core/deps.ts'
import { AppError, inFull } from '#core/error.ts'
import { columnOf } from '#core/sql-columns.ts'
import type { SegmentId, TenantId } from '#schemas/ids.ts'
import { eventSeals } from '#schemas/tables/segments.ts'
import { tenants } from '#schemas/tables/tenants.ts'
import { newestType } from '../declare.ts'
import { verdictsOf } from '../quality/measure.ts'
import { type CheckedSegment, recordVerdicts } from '../quality/record.ts'
import type { OpenSpool, Spool } from './files.ts'
import { nextPlan, type SealPlan } from './hour.ts'
import { type Held, holding } from './lease.ts'
import { clearAway, publish, store } from './manifest.ts'
import { logRows, rowsByNumber } from './rows.ts'

export type SealDeps = { db: Database; blobs: Blobs; clock: Clock; log: Log; openSpool: OpenSpool }
const PAGE_EVENTS = 2_000
const TENANTS_MAX = 200

/** Whatever is due of every tenant. One tenant's trouble is not another's. Returns how many hours were sealed. */
export async function sealDue(deps: SealDeps): Promise<number> {
  let sealed = 0
  for await (const tenantId of eachTenant(deps.db)) {
    try {
      while (await sealNext(deps, tenantId)) sealed++
    } catch (error) {
      deps.log.error('events.not_sealed', { tenant: tenantId, error: inFull(error) })
    }
  }
  return sealed
}

/** Page by page, outside of any transaction. */
export async function* eachTenant(db: Database): AsyncGenerator<TenantId> {
  for (let after = '' as TenantId; ; ) {
    const page = await db.system(tx =>
      tx
        .select({ id: tenants.id })
        .from(tenants)
        .where(gt(tenants.id, after))
        .orderBy(asc(tenants.id))
        .limit(TENANTS_MAX),
    )
    for (const { id } of page) yield id
    if (page.length < TENANTS_MAX) return
    after = page.at(-1)!.id
  }
}

/** Seals the next hour, or a part of it. False: there was none, or another one is at it. */
export async function sealNext(
  deps: SealDeps,
  tenantId: TenantId,
  eventsMax?: number,
): Promise<boolean> {
  const planned = () =>
    deps.db.tenant(tenantId, tx => nextPlan({ tx, clock: deps.clock }, eventsMax))
  // Most of the time there is nothing, and nothing is to be held for that.
  if ((await planned()) === null) return false
  const done = await holding(deps, tenantId, async held => {
    await clearAway(deps, tenantId, held)
    const plan = await planned()
    if (plan === null) return false
    if ('waits' in plan) {
      deps.log.info('events.seal_waits', { tenant: tenantId })
      return false
    }
    await seal(deps, tenantId, held, plan)
    return true
  })
  return done ?? false
}

async function seal(deps: SealDeps, tenantId: TenantId, held: Held, plan: SealPlan): Promise<void> {
  const began = performance.now()
  const spool = await deps.openSpool()
  try {
    await fill(deps, tenantId, held, { spool, plan })
    const ids: SegmentId[] = []
    const checked: CheckedSegment[] = []
    for (const name of spool.types()) {
      const type = await deps.db.tenant(tenantId, tx => newestType({ tx, clock: deps.clock }, name))
      if (!type) throw new AppError('internal', { internal: `no event type ${name}` })
      await held.renew()
      const content = await spool.segmentOf(type)
      const about = { type: name, version: type.version, hour: plan.hour, content }
      const id = await store(deps, tenantId, held, about)
      ids.push(id)
      checked.push({ id, type, hour: plan.hour, verdicts: verdictsOf(type, content.measured) })
    }
    await deps.db.tenant(tenantId, async tx => {
      const unit = { tx, clock: deps.clock }
      await finish(unit, held, plan, ids)
      await recordVerdicts(unit, tenantId, checked)
    })
    deps.log.info('events.sealed', {
      tenant: tenantId,
      hour: new Date(plan.hour).toISOString(),
      segments: ids.length,
      to: plan.to,
      ms: Math.round(performance.now() - began),
    })
  } finally {
    await spool.close()
  }
}

/** What is in the log up to the plan's end does not change, so that it may be read in many transactions. */
async function fill(
  { db, clock }: SealDeps,
  tenantId: TenantId,
  held: Held,
  { spool, plan }: { spool: Spool; plan: SealPlan },
): Promise<void> {
  const { to, due } = plan
  for (let after = plan.after; after < to; ) {
    const rows = await db.tenant(tenantId, async tx => {
      const unit = { tx, clock }
      await held.mustHold(unit)
      return logRows(unit, { after, to }, PAGE_EVENTS)
    })
    await spool.add(rows)
    if (new Set(rows.map(({ number }) => number)).size < PAGE_EVENTS) break
    after = rows.at(-1)!.number
  }
  if (due.length === 0) return
  await spool.add(await db.tenant(tenantId, tx => rowsByNumber({ tx, clock }, due)))
}

async function finish(
  unit: Unit,
  held: Held,
  { to, nextHour, due }: SealPlan,
  ids: readonly SegmentId[],
): Promise<void> {
  await held.mustHold(unit)
  await publish(unit, ids)
  await unit.tx.update(eventSeals).set({ number: to, hour: new Date(nextHour) })
  if (due.length === 0) return
  await unit.tx.execute(sql`delete from event_retractions where due and key in (
    select key from event_keys where number = any(${columnOf(due)(n => n)}::bigint[]))`)
}
