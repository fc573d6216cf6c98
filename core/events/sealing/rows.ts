/**
 * The log as rows for analysis: one for each place that an event has, and one for an event without any. A
 * segment, an export and the tail of the log that is not sealed yet all hold these.
 */
import { type SQL, sql } from 'drizzle-orm'
import type { Unit } from '#core/deps.ts'
import { columnOf } from '#core/sql-columns.ts'
import type { Value } from '#schemas/event.ts'
import { bare } from '../rows.ts'

/** Times in microseconds; values in stored form. */
export type LogRow = {
  number: number
  key: string
  source: string
  id: string
  /** Of a retraction: that of what it takes back, which may differ from the one it was sent as. */
  type: string
  version: number
  /** As it was applied: of a decision without a time of its own, the object's. */
  event_time: number
  received_at: number
  entity: string | null
  entity_key: string | null
  partition: number | null
  seq: number | null
  known_at: number | null
  /** The key of the event that this one takes back. */
  retracts: string | null
  data: Record<string, Value>
}

export type Span = {
  /** Numbers after this one, up to and with the other. */
  after: number
  to: number
  type?: string
}

/** In the order of numbers, `max` events at most; without the retractions that had to wait. */
export function logRows(unit: Unit, span: Span, max: number): Promise<LogRow[]> {
  return rowsOf(unit, sql`select ${FILED} ${FROM} where ${inOrder(span)} ${limitOf(max)}`)
}

/** The same of what is in no segment: behind `sealed`, and retractions that wait for their event. */
export function unsealedRows(
  unit: Unit,
  { sealed, ...span }: Span & { sealed: number },
  max: number,
): Promise<LogRow[]> {
  const { after, to, type } = span
  // Two halves, each by an index of its own.
  return rowsOf(
    unit,
    sql`(select ${FILED} ${FROM}
      where ${inOrder({ ...span, after: Math.max(after, sealed) })} ${limitOf(max)})
    union all
    (select ${FILED} ${FROM}
      where e.number > ${after} and e.number <= ${to} and ${ofType(type)}
        and (e.day, e.number) in (select w.day, w.number from event_retractions as r
          join event_keys as w on w.key = r.key where not r.due) ${limitOf(max)})
    order by number limit ${max}`,
  )
}

function inOrder({ after, to, type }: Span): SQL {
  return sql`e.number > ${after} and e.number <= ${to} and ${ofType(type)}
    and not exists (select from event_retractions as r where r.key = e.key)`
}

function limitOf(max: number): SQL {
  return sql`order by e.number limit ${max}`
}

/** Retractions that are due: they have found their places, or are given up. */
export function dueRows(unit: Unit, type: string): Promise<LogRow[]> {
  return rowsOf(
    unit,
    sql`select ${FILED} ${FROM} where ${ofType(type)} and (e.day, e.number) in (
      select w.day, w.number from event_retractions as r
      join event_keys as w on w.key = r.key where r.due)`,
  )
}

export function rowsByNumber(unit: Unit, numbers: readonly number[]): Promise<LogRow[]> {
  const listed = columnOf(numbers)(number => number)
  return rowsOf(unit, sql`select ${FILED} ${FROM} where e.number = any(${listed}::bigint[])`)
}

/**
 * What a retraction takes back is found by its key, which is kept for as long as it can be taken back. It is
 * looked up row by row: joined as a whole, each page of the log would hash all of it.
 */
const FROM = sql`from events as e
  left join lateral (select o.type, o.version from event_keys as k
    join events as o on o.day = k.day and o.number = k.number
    where e.retracts is not null and k.key = e.retracts limit 1) as t on true`
const FILED = sql`e.*, coalesce(t.type, e.type) as filed, coalesce(t.version, e.version) as filed_version`

/** Not by coalesce, of which the planner knows no statistics. */
function ofType(type: string | undefined): SQL {
  return type === undefined
    ? sql`true`
    : sql`(t.type = ${type} or t.type is null and e.type = ${type})`
}

async function rowsOf({ tx }: Unit, chosen: SQL): Promise<LogRow[]> {
  const { rows } = await tx.execute<Record<string, unknown>>(sql`
    with chosen as (${chosen})
    select e.number, e.key, e.source, e.id, e.filed as type, e.filed_version as version,
      coalesce(p.event_time, e.event_time) as event_time, e.received_at,
      p.entity, p.entity_key, p.partition, p.seq, p.known_at, e.retracts, e.data
    from chosen as e
    left join event_positions as p on p.day = e.day and p.number = e.number
    order by e.number, p.entity`)
  return rows.map(row => ({
    ...(row as LogRow),
    number: Number(row.number),
    key: bare(row.key as string),
    event_time: Number(row.event_time),
    received_at: Number(row.received_at),
    seq: row.seq === null ? null : Number(row.seq),
    known_at: row.known_at === null ? null : Number(row.known_at),
    retracts: row.retracts === null ? null : bare(row.retracts as string),
  }))
}
