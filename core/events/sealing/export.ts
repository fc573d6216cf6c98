/** The log of one type for a reader of our own, such as who makes training sets: page by page. */
import { sql } from 'drizzle-orm'
import type { Unit } from '#core/deps.ts'
import { AppError } from '#core/error.ts'
import type { EventType } from '#schemas/event.ts'
import { newestType } from '../declare.ts'
import { type LogRow, logRows } from './rows.ts'

/** Some megabytes as JSON, whatever the events hold. */
const PAGE_EVENTS = 2_000

/** Where a segment lies and what is in it; all of it comes before the rows of the pages. */
export type SegmentFile = {
  blob: string
  sha256: string
  bytes: number
  rows: number
  /** Microseconds; null: no row of it has a place. */
  knownFrom: number | null
  knownTo: number | null
}

export type ExportPage = {
  /** The newest contract: every field that any row may have. */
  type: EventType
  segments: SegmentFile[]
  rows: LogRow[]
  /** To be sent as `after`; null: this was the last page. */
  next: string | null
}

export type ExportQuery = { type: string; asOf?: number | null; after?: string | null }

/**
 * What has come after the first page was read is left out, so that all pages are of one moment. Segments
 * come with the first page alone, and hold what the pages do not. Throws `not_found`.
 */
export async function exported(
  unit: Unit,
  query: ExportQuery,
  pageEvents = PAGE_EVENTS,
): Promise<ExportPage> {
  const type = await newestType(unit, query.type)
  if (!type) {
    throw new AppError('not_found', { public: `There is no event type "${query.type}".` })
  }
  const { after, to } = query.after ? fromCursor(query.after) : await wholeLog(unit)
  const span = { after, to, type: query.type }
  const asOf = query.asOf ?? Number.POSITIVE_INFINITY
  const rows = await logRows(unit, span, pageEvents + 1)
  const numbers = [...new Set(rows.map(({ number }) => number))]
  const isLast = numbers.length <= pageEvents
  const last = isLast ? to : numbers[pageEvents - 1]!
  return {
    type,
    segments: [],
    rows: rows.filter(row => row.number <= last && (row.known_at === null || row.known_at <= asOf)),
    next: isLast ? null : `${last}-${to}`,
  }
}

async function wholeLog({ tx }: Unit): Promise<{ after: number; to: number }> {
  const { rows } = await tx.execute<{ to: string | null }>(
    sql`select number as to from events order by number desc limit 1`,
  )
  return { after: 0, to: Number(rows[0]?.to ?? 0) }
}

function fromCursor(cursor: string): { after: number; to: number } {
  const [, after, to] = /^(\d{1,15})-(\d{1,15})$/.exec(cursor) ?? []
  if (after !== undefined) return { after: Number(after), to: Number(to) }
  throw new AppError('invalid_cursor', { public: 'The cursor is not one of this export.' })
}
