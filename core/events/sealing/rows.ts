/**
 * The log as rows for analysis: one for each place that an event has, and one for an event without any. A
 * segment, an export and the tail of the log that is not sealed yet all hold these.
 */
import { type SQL, sql } from 'drizzle-orm'
import type { Unit } from '#core/deps.ts'
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
  /** Of one type. */
  type?: string
}

/** In the order of numbers; `events` at most, each with all of its rows. */
export async function logRows({ tx }: Unit, span: Span, events: number): Promise<LogRow[]> {
  const { rows } = await tx.execute<Record<string, unknown>>(rowsSql(span, sql`limit ${events}`))
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

/** What a retraction takes back is found by its key: it is kept for as long as it can be taken back. */
function rowsSql({ after, to, type }: Span, limit: SQL): SQL {
  const ofType = type === undefined ? sql`true` : sql`coalesce(t.type, e.type) = ${type}`
  return sql`
    with chosen as (
      select e.*, coalesce(t.type, e.type) as filed, coalesce(t.version, e.version) as filed_version
      from events as e
      left join event_keys as k on k.key = e.retracts
      left join events as t on t.day = k.day and t.number = k.number
      where e.number > ${after} and e.number <= ${to} and ${ofType}
      order by e.number ${limit})
    select e.number, e.key, e.source, e.id, e.filed as type, e.filed_version as version,
      coalesce(p.event_time, e.event_time) as event_time, e.received_at,
      p.entity, p.entity_key, p.partition, p.seq, p.known_at, e.retracts, e.data
    from chosen as e
    left join event_positions as p on p.day = e.day and p.number = e.number
    order by e.number, p.entity`
}
