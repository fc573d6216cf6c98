/**
 * Breaches: whatever a check has found wrong comes into the tenant's own log as an event, once, from where
 * features, exports and whoever follows the log have it like any other.
 */
import { and, eq } from 'drizzle-orm'
import type { FeatureObjects } from '#core/deps.ts'
import { AppError, inFull } from '#core/error.ts'
import type { EventType } from '#schemas/event.ts'
import type { TenantId } from '#schemas/ids.ts'
import { eventTypes } from '#schemas/tables/events.ts'
import { eventQuality } from '#schemas/tables/segments.ts'
import { checkedEvent } from '../contract.ts'
import { ingest } from '../ingest.ts'
import { eachTenant, type SealDeps } from '../sealing/seal.ts'
import { judgeHours } from './hours.ts'

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

/** Judges the hours that have ended, and tells what is wrong. */
export async function checkQuality(deps: QualityDeps): Promise<void> {
  for await (const tenantId of eachTenant(deps.db)) {
    try {
      await deps.db.tenant(tenantId, tx => judgeHours({ tx, clock: deps.clock }, tenantId))
      await tell(deps, tenantId)
    } catch (error) {
      deps.log.error('events.quality_not_checked', { tenant: tenantId, error: inFull(error) })
    }
  }
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
