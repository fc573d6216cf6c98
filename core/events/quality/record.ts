/** What the checks found: stored with the segment that they looked at, and listed. */
import { and, asc, eq, gte, lt, sql } from 'drizzle-orm'
import type { Unit } from '#core/deps.ts'
import { cursorOf, type PageQuery, pageOf, textPosition } from '#core/page.ts'
import type { EventType } from '#schemas/event.ts'
import type { SegmentId, TenantId } from '#schemas/ids.ts'
import { eventQuality } from '#schemas/tables/segments.ts'
import type { Verdict } from './measure.ts'

export type CheckedSegment = { id: SegmentId; type: EventType; hour: number; verdicts: Verdict[] }

/** What stands is kept: who comes second measured the same. */
export async function recordVerdicts(
  { tx, clock }: Unit,
  tenantId: TenantId,
  checked: readonly CheckedSegment[],
): Promise<void> {
  const at = new Date(clock.now())
  const rows = checked.flatMap(({ id, type: { type }, hour, verdicts }) =>
    verdicts.map(verdict => ({
      tenantId,
      segment: id,
      type,
      hour: new Date(hour),
      at,
      ...verdict,
    })),
  )
  if (rows.length > 0) await tx.insert(eventQuality).values(rows).onConflictDoNothing()
}

type Listed = PageQuery & { type?: string; from?: string; to?: string; failed?: 'true' | 'false' }

/** In the order of what was looked at. */
export async function quality({ tx }: Unit, query: Listed) {
  const after = textPosition('event_quality', query.cursor)
  const [segment = '', name = ''] = after?.split(' ') ?? []
  const behind = sql`(${eventQuality.segment}, ${eventQuality.name}) > (${segment}, ${name})`
  const rows = await tx
    .select()
    .from(eventQuality)
    .where(
      and(
        after === null ? undefined : behind,
        query.type === undefined ? undefined : eq(eventQuality.type, query.type),
        query.failed === undefined ? undefined : eq(eventQuality.ok, query.failed === 'false'),
        query.from === undefined ? undefined : gte(eventQuality.hour, new Date(query.from)),
        query.to === undefined ? undefined : lt(eventQuality.hour, new Date(query.to)),
      ),
    )
    .orderBy(asc(eventQuality.segment), asc(eventQuality.name))
    .limit(query.limit + 1)
  return pageOf(rows, query, row => cursorOf('event_quality', `${row.segment} ${row.name}`), shown)
}

function shown({
  type,
  hour,
  segment,
  name,
  kind,
  value,
  min,
  max,
  ok,
}: typeof eventQuality.$inferSelect) {
  return {
    type,
    hour: hour.toISOString(),
    /** Null: of the hour, not of one file. */
    segment: segment.includes('@') ? null : segment,
    check: name,
    kind,
    value,
    min,
    max,
    ok,
  }
}
