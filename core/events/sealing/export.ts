/** The log of one type for a reader of our own, such as who makes training sets: page by page. */
import { sql } from 'drizzle-orm'
import type { Unit } from '#core/deps.ts'
import { AppError } from '#core/error.ts'
import type { EventType } from '#schemas/event.ts'
import { newestType } from '../declare.ts'
import { isWaiting } from './hour.ts'
import { sealedUpTo } from './lease.ts'
import { sealedSegments } from './manifest.ts'
import { dueRows, type LogRow, unsealedRows } from './rows.ts'

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
  /** An event of it has no place yet: ask again from the start. */
  waits: boolean
}

/**
 * `asOf` (microseconds) leaves out what became known later, `to` events with a larger number: then all up to
 * it must have their places, else the page says that it waits.
 */
export type ExportQuery = {
  type: string
  asOf?: number | null
  to?: number
  after?: string | null
}

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
  const isFirst = !query.after
  const moment = isFirst ? await thisMoment(unit, query.to) : fromCursor(query.after!)
  const waits = isFirst && query.to !== undefined && (await isWaiting(unit, moment.to))
  if (waits) return { type, segments: [], rows: [], next: null, waits }
  const rows = await unsealedRows(unit, { ...moment, type: query.type }, pageEvents + 1)
  const numbers = [...new Set(rows.map(({ number }) => number))]
  const isLast = numbers.length <= pageEvents
  const last = isLast ? moment.to : numbers[pageEvents - 1]!
  const page = rows.filter(({ number }) => number <= last)
  // In the transaction of the first page: they go into a segment soon, which no later page would name.
  if (isFirst)
    page.unshift(...(await dueRows(unit, query.type)).filter(({ number }) => number <= moment.to))
  const asOf = query.asOf ?? Number.POSITIVE_INFINITY
  return {
    type,
    segments: isFirst ? await filesOf(unit, query.type, { asOf, to: moment.to }) : [],
    rows: page.filter(({ known_at }) => known_at === null || known_at <= asOf),
    next: isLast ? null : `${last}-${moment.to}-${moment.sealed}`,
    waits,
  }
}

/** The newest number of the log; 0: there is none. */
export async function newestNumber({ tx }: Unit): Promise<number> {
  // Of a log that is all sealed, rows of the newest events may be gone.
  const { rows } = await tx.execute<{ newest: string }>(sql`select greatest(0,
    (select number from events order by number desc limit 1),
    (select number from event_seals)) as newest`)
  return Number(rows[0]!.newest)
}

async function filesOf(
  unit: Unit,
  type: string,
  { asOf, to }: { asOf: number; to: number },
): Promise<SegmentFile[]> {
  const segments = await sealedSegments(unit, { type })
  return segments
    .filter(
      ({ rows, knownFrom, numberFrom }) =>
        rows > 0 && numberFrom <= to && (knownFrom === null || knownFrom <= asOf),
    )
    .map(({ blob, sha256, bytes, rows, knownFrom, knownTo }) => ({
      blob,
      sha256,
      bytes,
      rows,
      knownFrom,
      knownTo,
    }))
}

type Moment = { after: number; to: number; sealed: number }

async function thisMoment(unit: Unit, to = Number.POSITIVE_INFINITY): Promise<Moment> {
  const sealed = await sealedUpTo(unit)
  return { after: 0, to: Math.min(await newestNumber(unit), to), sealed }
}

function fromCursor(cursor: string): Moment {
  const [, after, to, sealed] = /^(\d{1,15})-(\d{1,15})-(\d{1,15})$/.exec(cursor) ?? []
  if (after === undefined) {
    throw new AppError('invalid_cursor', { public: 'The cursor is not one of this export.' })
  }
  return { after: Number(after), to: Number(to), sealed: Number(sealed) }
}
