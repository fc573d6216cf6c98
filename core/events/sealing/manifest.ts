/** The manifest: which segments there are. A file is stored before its row says so, and gone after it. */
import { and, asc, eq, getTableColumns, gt, gte, inArray, lt, ne, sql } from 'drizzle-orm'
import * as blobKeys from '#core/blob-keys.ts'
import type { Blobs, Clock, Database, Unit } from '#core/deps.ts'
import { AppError } from '#core/error.ts'
import { cursorOf, type PageQuery, pageOf, textPosition } from '#core/page.ts'
import { isId, newId, type SegmentId, type TenantId } from '#schemas/ids.ts'
import { eventSegments } from '#schemas/tables/segments.ts'
import { textOf } from '../time.ts'
import type { SegmentContent } from './files.ts'
import type { Held } from './lease.ts'

type Row = typeof eventSegments.$inferSelect
export type Segment = Omit<Row, 'watermarks'>
type Deps = { db: Database; blobs: Blobs; clock: Clock }

/** Watermarks take tens of kilobytes a segment, and there may be as many as hours in years. */
const { watermarks: _, ...COLUMNS } = getTableColumns(eventSegments)

/** Of a type, or with rows of a partition; in the order in which they were sealed. */
export function sealedSegments(
  { tx }: Pick<Unit, 'tx'>,
  { type, partition }: { type?: string; partition?: number },
): Promise<Segment[]> {
  const ofType = type === undefined ? undefined : eq(eventSegments.type, type)
  const withRows =
    partition === undefined
      ? undefined
      : sql`jsonb_exists(${eventSegments.watermarks}, ${String(partition)})`
  return tx
    .select(COLUMNS)
    .from(eventSegments)
    .where(and(eq(eventSegments.state, 'sealed'), ofType, withRows))
    .orderBy(asc(eventSegments.id))
}

/** Stores a file whose row says `writing` until the manifest is changed. Throws `conflict` like `renew`. */
export async function store(
  deps: Deps,
  tenantId: TenantId,
  held: Held,
  segment: { type: string; version: number; hour: number; content: SegmentContent },
): Promise<SegmentId> {
  const { content, hour, ...about } = segment
  const id = newId('segment', deps.clock.now())
  const blob = blobKeys.segment(tenantId, id)
  const { sha256, bytes, facts } = content
  await deps.db.tenant(tenantId, async tx => {
    await held.mustHold({ tx, clock: deps.clock })
    await tx.insert(eventSegments).values({
      tenantId,
      id,
      ...about,
      hour: new Date(hour),
      state: 'writing',
      blob,
      sha256,
      bytes,
      ...facts,
      sealedAt: new Date(deps.clock.now()),
    })
  })
  await deps.blobs.put(blob, content.content(), { sha256, sizeMax: bytes })
  try {
    await held.renew()
  } catch (error) {
    // Whoever has it now has removed the row, and would never find the file.
    await deps.blobs.delete(blob)
    throw error
  }
  return id
}

/** Part of the transaction that makes them count. */
export async function publish({ tx }: Unit, ids: readonly SegmentId[]): Promise<void> {
  if (ids.length === 0) return
  const rows = await tx
    .update(eventSegments)
    .set({ state: 'sealed' })
    .where(and(inArray(eventSegments.id, [...ids]), eq(eventSegments.state, 'writing')))
    .returning({ id: eventSegments.id })
  if (rows.length === ids.length) return
  throw new AppError('conflict', { internal: 'segments were taken away', retryable: true })
}

/** Files of those that died while they wrote, and of segments that another took the place of. */
export async function clearAway(deps: Deps, tenantId: TenantId, held: Held): Promise<void> {
  const left = await deps.db.tenant(tenantId, tx =>
    tx
      .select()
      .from(eventSegments)
      .where(and(ne(eventSegments.state, 'sealed'), sql`${eventSegments.bytes} > 0`)),
  )
  for (const { id, blob, state } of left) {
    await held.renew()
    await deps.blobs.delete(blob)
    await deps.db.tenant(tenantId, async tx => {
      await held.mustHold({ tx, clock: deps.clock })
      const its = eq(eventSegments.id, id)
      if (state === 'writing') await tx.delete(eventSegments).where(its)
      // What it was stays on record, without its file.
      else await tx.update(eventSegments).set({ bytes: 0 }).where(its)
    })
  }
}

type Listed = PageQuery & { type?: string; from?: string; to?: string; superseded?: string }

export async function segments(unit: Unit, query: Listed) {
  const after = textPosition('event_segments', query.cursor) as SegmentId | null
  const states = query.superseded === 'true' ? ['sealed', 'superseded'] : ['sealed']
  const rows = await unit.tx
    .select()
    .from(eventSegments)
    .where(
      and(
        inArray(eventSegments.state, states as Row['state'][]),
        after ? gt(eventSegments.id, after) : undefined,
        query.type === undefined ? undefined : eq(eventSegments.type, query.type),
        query.from === undefined ? undefined : gte(eventSegments.hour, new Date(query.from)),
        query.to === undefined ? undefined : lt(eventSegments.hour, new Date(query.to)),
      ),
    )
    .orderBy(asc(eventSegments.id))
    .limit(query.limit + 1)
  const withMarks = (row: Row) => ({ ...shown(row), watermarks: row.watermarks })
  return pageOf(rows, query, row => cursorOf('event_segments', row.id), withMarks)
}

/** Where its bytes are. Throws `not_found`. */
export async function segmentFile(unit: Unit, { segment_id: id }: { segment_id: string }) {
  const [row] = isId('segment', id)
    ? await unit.tx.select().from(eventSegments).where(eq(eventSegments.id, id))
    : []
  if (row?.state === 'sealed') return { key: row.blob, size: row.bytes, format: 'parquet' as const }
  if (row?.state === 'superseded') {
    throw new AppError('not_found', {
      public: `The segment ${id} was replaced by ${row.supersededBy}; read that one.`,
    })
  }
  throw new AppError('not_found', { public: 'There is no segment with this id.' })
}

export function shown(row: Segment) {
  const time = (micros: number | null) => (micros === null ? null : textOf(micros))
  return {
    id: row.id,
    type: row.type,
    version: row.version,
    hour: row.hour.toISOString(),
    state: row.state as 'sealed' | 'superseded',
    superseded_by: row.supersededBy,
    sha256: row.sha256,
    bytes: row.bytes,
    rows: row.rows,
    events: row.events,
    number_from: row.numberFrom,
    number_to: row.numberTo,
    time_from: time(row.eventTimeFrom),
    time_to: time(row.eventTimeTo),
    known_from: time(row.knownFrom),
    known_to: time(row.knownTo),
    sealed_at: row.sealedAt.toISOString(),
  }
}
