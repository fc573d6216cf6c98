/** Volume and freshness, of hours: nothing comes by itself to say that nothing came. */
import { and, desc, eq, gte, like, sql } from 'drizzle-orm'
import type { Unit } from '#core/deps.ts'
import type { SegmentId, TenantId } from '#schemas/ids.ts'
import { eventTypes } from '#schemas/tables/events.ts'
import { eventQuality, eventSegments } from '#schemas/tables/segments.ts'
import { HOUR_MS, nextPlan } from '../sealing/hour.ts'
import { hourVerdictsOf } from './measure.ts'
import { type CheckedSegment, recordVerdicts } from './record.ts'

/** Longer than an hour waits to be sealed. */
const GRACE_MS = 120_000
/** Of hours that ended while nobody was there to judge them, the newest so many still are. */
const MISSED_HOURS_MAX = 48

type Type = typeof eventTypes.$inferSelect

/** Judges what has ended since the last that was judged, once all of it is sealed. */
export async function judgeHours(unit: Unit, tenantId: TenantId): Promise<void> {
  const end = Math.floor((unit.clock.now() - GRACE_MS) / HOUR_MS) * HOUR_MS
  const types = await typesWithHours(unit)
  if (types.length === 0) return
  const judged = await lastJudged(unit, end)
  const hours = types.flatMap(type => {
    // An hour that had begun before there was the check is not judged by it.
    const whole = Math.ceil(type.createdAt.getTime() / HOUR_MS) * HOUR_MS
    const next = (judged.get(type.type) ?? Number.NEGATIVE_INFINITY) + HOUR_MS
    const first = Math.max(whole, next, end - MISSED_HOURS_MAX * HOUR_MS)
    const count = Math.max(0, (end - first) / HOUR_MS)
    return Array.from({ length: count }, (_, i) => ({ type, hour: first + i * HOUR_MS }))
  })
  if (hours.length === 0 || (await nextPlan(unit)) !== null) return
  const checked: CheckedSegment[] = []
  for (const { type, hour } of hours) checked.push(await judgedHour(unit, type, hour))
  await recordVerdicts(unit, tenantId, checked)
}

async function typesWithHours({ tx }: Unit): Promise<Type[]> {
  const newest = await tx
    .selectDistinctOn([eventTypes.type])
    .from(eventTypes)
    .orderBy(eventTypes.type, desc(eventTypes.version))
  return newest.filter(({ definition }) => {
    const kinds = Object.values(definition.checks ?? {}).map(({ kind }) => kind)
    return kinds.includes('volume') || kinds.includes('freshness')
  })
}

/** By type: the hour that was judged last, of those that still could be. */
async function lastJudged({ tx }: Unit, end: number): Promise<Map<string, number>> {
  const from = new Date(end - (MISSED_HOURS_MAX + 1) * HOUR_MS)
  // As a segment's id never has it.
  const ofHours = like(eventQuality.segment, '%@%')
  const rows = await tx
    .select({ type: eventQuality.type, hour: sql<string>`max(${eventQuality.hour})` })
    .from(eventQuality)
    .where(and(gte(eventQuality.hour, from), ofHours))
    .groupBy(eventQuality.type)
  return new Map(rows.map(({ type, hour }) => [type, new Date(hour).getTime()]))
}

async function judgedHour({ tx }: Unit, { type, definition }: Type, hour: number) {
  const its = sql`${new Date(hour).toISOString()}::timestamptz`
  const [found] = await tx
    .select({
      events: sql<string>`coalesce(sum(${eventSegments.events})
        filter (where ${eventSegments.hour} = ${its}), 0)`,
      newest: sql<string | null>`max(${eventSegments.eventTimeTo})
        filter (where ${eventSegments.hour} <= ${its})`,
    })
    .from(eventSegments)
    .where(and(eq(eventSegments.type, type), eq(eventSegments.state, 'sealed')))
  const verdicts = hourVerdictsOf(definition, {
    events: Number(found!.events),
    end: hour + HOUR_MS,
    newest: found!.newest === null ? null : Number(found!.newest),
  })
  const id = `${type}@${new Date(hour).toISOString()}` as SegmentId
  return { id, type: definition, hour, verdicts }
}
