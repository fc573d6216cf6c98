/**
 * Hours that are over, and breaches: whatever a check has found wrong comes into the tenant's own log as
 * an event, once, from where features, exports and whoever follows the log have it like any other.
 */
import { and, desc, eq, sql } from 'drizzle-orm'
import type { FeatureObjects, Unit } from '#core/deps.ts'
import { AppError, inFull } from '#core/error.ts'
import type { EventType } from '#schemas/event.ts'
import type { SegmentId, TenantId } from '#schemas/ids.ts'
import { eventTypes } from '#schemas/tables/events.ts'
import { eventQuality, eventSegments } from '#schemas/tables/segments.ts'
import { checkedEvent } from '../contract.ts'
import { ingest } from '../ingest.ts'
import { HOUR_MS, nextPlan } from '../sealing/hour.ts'
import { eachTenant, type SealDeps } from '../sealing/seal.ts'
import { hourVerdictsOf } from './measure.ts'
import { type CheckedSegment, recordVerdicts } from './record.ts'

/** Longer than an hour waits to be sealed. */
const GRACE_MS = 120_000
const TOLD_MAX = 500
const SOURCE = '/galley/quality'

/** The contract of what a breach says. */
const BREACHED: EventType = {
  type: 'galley.quality.breached',
  version: 1,
  fields: {
    type: { type: 'string' },
    check: { type: 'string' },
    kind: { type: 'string' },
    hour: { type: 'time' },
    segment: { type: 'string', optional: true },
    value: { type: 'float', optional: true },
    min: { type: 'float', optional: true },
    max: { type: 'float', optional: true },
  },
  entities: { event_type: 'type' },
  online_days: 40,
}

export type QualityDeps = SealDeps & { features: FeatureObjects }

/** Judges the hour that ended last, and tells what is wrong. */
export async function checkQuality(deps: QualityDeps): Promise<void> {
  for await (const tenantId of eachTenant(deps.db)) {
    try {
      await deps.db.tenant(tenantId, tx => judgeHour({ tx, clock: deps.clock }, tenantId))
      await tell(deps, tenantId)
    } catch (error) {
      deps.log.error('events.quality_not_checked', { tenant: tenantId, error: inFull(error) })
    }
  }
}

/** Volume and freshness: nothing comes by itself to say that nothing came. */
async function judgeHour(unit: Unit, tenantId: TenantId): Promise<void> {
  const { tx, clock } = unit
  const end = Math.floor((clock.now() - GRACE_MS) / HOUR_MS) * HOUR_MS
  const newest = await tx
    .selectDistinctOn([eventTypes.type])
    .from(eventTypes)
    .orderBy(eventTypes.type, desc(eventTypes.version))
  const types = newest.filter(({ definition, createdAt }) => {
    const kinds = Object.values(definition.checks ?? {}).map(({ kind }) => kind)
    // An hour that had begun before there was the check is not judged by it.
    const isWhole = createdAt.getTime() <= end - HOUR_MS
    return isWhole && (kinds.includes('volume') || kinds.includes('freshness'))
  })
  if (types.length === 0 || (await nextPlan(unit)) !== null) return
  const hour = end - HOUR_MS
  const checked: CheckedSegment[] = []
  for (const { type, definition } of types) {
    const [found] = await tx
      .select({
        events: sql<string>`coalesce(sum(${eventSegments.events})
          filter (where ${eventSegments.hour} = ${new Date(hour).toISOString()}::timestamptz), 0)`,
        newest: sql<string | null>`max(${eventSegments.eventTimeTo})`,
      })
      .from(eventSegments)
      .where(and(eq(eventSegments.type, type), eq(eventSegments.state, 'sealed')))
    const verdicts = hourVerdictsOf(definition, {
      events: Number(found!.events),
      end,
      newest: found!.newest === null ? null : Number(found!.newest),
    })
    const id = `${type}@${new Date(hour).toISOString()}` as SegmentId
    checked.push({ id, type: definition, hour, verdicts })
  }
  await recordVerdicts(unit, tenantId, checked)
}

async function tell(deps: QualityDeps, tenantId: TenantId): Promise<void> {
  const untold = and(eq(eventQuality.ok, false), eq(eventQuality.told, false))
  const rows = await deps.db.tenant(tenantId, tx =>
    tx.select().from(eventQuality).where(untold).limit(TOLD_MAX),
  )
  if (rows.length === 0) return
  await deps.db.tenant(tenantId, tx =>
    tx
      .insert(eventTypes)
      .values({
        tenantId,
        type: BREACHED.type,
        version: BREACHED.version,
        definition: BREACHED,
        createdAt: new Date(deps.clock.now()),
      })
      .onConflictDoNothing(),
  )
  const receivedAt = deps.clock.now() * 1_000
  const events = rows.map(({ segment, name, type, kind, hour, value, min, max }) => {
    deps.log.error('events.quality_breached', { tenant: tenantId, type, check: name, kind, value })
    const data = { type, check: name, kind, hour: hour.toISOString(), segment, value, min, max }
    // A breach is told by its name: whoever dies before it is marked tells the same again.
    const raw = { source: SOURCE, id: `${segment}/${name}`, type: BREACHED.type, data }
    const checked = checkedEvent(BREACHED, raw, { tenantId, receivedAt })
    if ('event' in checked) return checked.event
    throw new AppError('internal', { internal: JSON.stringify(checked.errors) })
  })
  await ingest(deps, tenantId, events)
  await deps.db.tenant(tenantId, async tx => {
    for (const { segment, name } of rows) {
      const its = and(eq(eventQuality.segment, segment), eq(eventQuality.name, name))
      await tx.update(eventQuality).set({ told: true }).where(its)
    }
  })
}
