/**
 * What is kept, and for how long. A row of the log stays in the database for as long as its event may be
 * repeated or taken back, and goes when it stands in a segment; segments stay for as long as the tenant says.
 */
import { and, eq, lt, sql } from 'drizzle-orm'
import * as blobKeys from '#core/blob-keys.ts'
import type { Call } from '#core/caller.ts'
import type { Unit } from '#core/deps.ts'
import { AppError, inFull } from '#core/error.ts'
import { audit } from '#core/tenants/tenants.ts'
import { type TenantId, timeOfId } from '#schemas/ids.ts'
import { eventRejections } from '#schemas/tables/events.ts'
import { eventQuality, eventSegments, eventSettings } from '#schemas/tables/segments.ts'
import { holding } from './lease.ts'
import { clearAway } from './manifest.ts'
import { eachTenant, type SealDeps } from './seal.ts'

const DAY_MS = 86_400_000
/** An event is told from its repetitions for so long at least. */
const REPEATED_DAYS = 32
/** Objects count in moments, the log in days: it must never forget a key before they forget the event. */
const SLACK_DAYS = 2
const ROWS_PER_STEP = 5_000
/** Made for one reader, who has had time to read it. */
const EXPORT_MS = 3_600_000

/** Everything that is past its time, of every tenant. */
export async function trimLogs(deps: SealDeps): Promise<void> {
  for await (const tenantId of eachTenant(deps.db)) {
    try {
      await trim(deps, tenantId)
    } catch (error) {
      deps.log.error('events.not_trimmed', { tenant: tenantId, error: inFull(error) })
    }
  }
  const before = dayBefore(deps.clock.now(), REPEATED_DAYS + SLACK_DAYS)
  await deps.db.system(tx => tx.execute(sql`select galley_event_days_drop(${before}::date)`))
}

async function trim(deps: SealDeps, tenantId: TenantId): Promise<void> {
  const { db, clock } = deps
  const inTenant = <T>(work: (unit: Unit) => Promise<T>) =>
    db.tenant(tenantId, tx => work({ tx, clock }))
  const days = await inTenant(keptDays)
  await inTenant(unit => giveUpRetractions(unit, dayBefore(clock.now(), days - 1)))
  const before = dayBefore(clock.now(), days)
  while ((await inTenant(unit => forgetRows(unit, before))) === ROWS_PER_STEP);
  while ((await inTenant(unit => forgetKeys(unit, before))) === ROWS_PER_STEP);
  const retention = await inTenant(retentionOf)
  if (retention !== null) await expire(deps, tenantId, new Date(clock.now() - retention * DAY_MS))
  await removeExports(deps, tenantId)
}

/** For how many days rows and keys are kept in the database. */
async function keptDays({ tx }: Unit): Promise<number> {
  const { rows } = await tx.execute<{ days: number | null }>(
    sql`select max((definition->>'online_days')::int) as days from event_types`,
  )
  return Math.max(REPEATED_DAYS, rows[0]?.days ?? 0) + SLACK_DAYS
}

/** A day earlier than rows go, so that they are sealed before. */
async function giveUpRetractions({ tx }: Unit, before: string): Promise<void> {
  await tx.execute(
    sql`update event_retractions set due = true where not due and day < ${before}::date`,
  )
}

const IS_SEALED = sql`number <= (select number from event_seals)
  and not exists (select from event_retractions as r where r.key = old.key)`

async function forgetRows({ tx }: Unit, before: string): Promise<number> {
  const { rows } = await tx.execute<{ n: number }>(sql`
    with gone as (
      delete from events where (number, day) in (
        select number, day from events as old where day < ${before}::date and ${IS_SEALED}
        order by number limit ${ROWS_PER_STEP})
      returning number, day),
    places as (
      delete from event_positions as p using gone where p.number = gone.number and p.day = gone.day)
    select count(*)::int as n from gone`)
  return rows[0]!.n
}

/** After the rows: of events that were erased there are keys alone. */
async function forgetKeys({ tx }: Unit, before: string): Promise<number> {
  const { rowCount } = await tx.execute(sql`
    delete from event_keys where key in (
      select key from event_keys as old where day < ${before}::date and ${IS_SEALED}
      limit ${ROWS_PER_STEP})`)
  return rowCount ?? 0
}

async function retentionOf({ tx }: Pick<Unit, 'tx'>): Promise<number | null> {
  const [row] = await tx.select().from(eventSettings)
  return row?.retentionDays ?? null
}

/** Segments stop counting first; their files go then, as those of a dead writer do. */
async function expire(deps: SealDeps, tenantId: TenantId, before: Date): Promise<void> {
  const old = and(lt(eventSegments.hour, before), sql`${eventSegments.state} <> 'writing'`)
  const count = await deps.db.tenant(tenantId, tx => tx.$count(eventSegments, old))
  await deps.db.tenant(tenantId, async tx => {
    await tx.delete(eventRejections).where(lt(eventRejections.at, before))
    await tx.delete(eventQuality).where(lt(eventQuality.hour, before))
  })
  if (count === 0) return
  await holding(deps, tenantId, async held => {
    await deps.db.tenant(tenantId, async tx => {
      await held.mustHold({ tx, clock: deps.clock })
      // Those without a file are only a record.
      await tx.delete(eventSegments).where(and(old, eq(eventSegments.bytes, 0)))
      await tx.update(eventSegments).set({ state: 'writing' }).where(old)
    })
    await clearAway(deps, tenantId, held)
  })
}

async function removeExports({ blobs, clock }: SealDeps, tenantId: TenantId): Promise<void> {
  const prefix = blobKeys.exportsOf(tenantId)
  for (const { key } of await blobs.list(prefix)) {
    if (timeOfId(key.slice(prefix.length)) < clock.now() - EXPORT_MS) await blobs.delete(key)
  }
}

export async function settings(unit: Unit) {
  return { retention_days: await retentionOf(unit), kept_days: await keptDays(unit) }
}

/** Throws `invalid_definition` for fewer days than events have to be kept anyway. */
export async function changeSettings(
  unit: Unit,
  call: Call,
  { retention_days: retentionDays }: { retention_days: number | null },
) {
  const days = await keptDays(unit)
  if (retentionDays !== null && retentionDays < days) {
    const detail = `Events are kept for ${days} days at least, to tell repetitions apart and for the online_days of their types; retention_days must not be less, and ${retentionDays} is.`
    throw new AppError('invalid_definition', {
      public: detail,
      errors: [{ pointer: '/retention_days', detail }],
    })
  }
  const { tenantId } = call.caller
  const changedAt = new Date(unit.clock.now())
  await unit.tx
    .insert(eventSettings)
    .values({ tenantId, retentionDays, changedAt })
    .onConflictDoUpdate({ target: eventSettings.tenantId, set: { retentionDays, changedAt } })
  const detail = { retention_days: retentionDays }
  await audit.record(unit, call, { action: 'events.settings', target: 'log', detail })
  return settings(unit)
}

function dayBefore(now: number, days: number): string {
  return new Date(now - days * DAY_MS).toISOString().slice(0, 10)
}
