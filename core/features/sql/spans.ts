/** The spans of features as joins of questions with events. Each gives one row per question that sees any. */
import type { FeaturePlan, Span } from '#schemas/feature.ts'
import type { Ir } from '../finalize.ts'
import { aggregate, type Columns, fieldColumn, storedOf } from './aggregates.ts'

/** `sql` gives `row` and the columns; without a row for a question, each is null. */
export type Joined = {
  sql: string
  columns: string[]
  read(values: readonly unknown[]): Ir[]
}

export type Window = Exclude<Span, { kind: 'latest' }>

/** A window is cut into so many buckets, and a question asks those that it touches: one more. */
const BUCKETS = 2

/** What a question `s` sees of an event `e` of its entity. */
const SEEN = 'e.since <= s.t and (e.until is null or e.until > s.t)'

/**
 * Events meet questions by entity and bucket of time, so that the pairs that are looked at are few more
 * than those that count, however long the log is.
 */
export function windowSql(
  span: Window,
  features: readonly FeaturePlan[],
  { events, spine }: { events: string; spine: string },
): Joined {
  const columns: Columns = { names: ['c0'], sql: ['count(*)'] }
  const reads = features.map(feature => aggregate(feature, columns))
  const extent = span.kind === 'sliding' ? span.length : span.length + span.hop
  const bucket = Math.max(1, Math.ceil(extent / BUCKETS))
  const selected = columns.sql.map((sql, i) => `${sql} as ${columns.names[i]}`).join(', ')
  return {
    sql: `select s.row, ${selected}
      from (select row, entity_key, t, start,
          unnest(range(start // ${bucket}, (t - 1) // ${bucket} + 1)) as bucket
        from (select row, entity_key, t, ${startOf(span)} as start from ${spine})) as s
      join (select *, event_time // ${bucket} as bucket from ${events}) as e
        on e.entity_key = s.entity_key and e.bucket = s.bucket
        and e.event_time >= s.start and ${SEEN}
      group by s.row`,
    columns: columns.names,
    read(values) {
      const n = Number(values[0] ?? 0)
      return reads.map(read => read(values, n))
    },
  }
}

/** The first event time of the span. */
function startOf(span: Window, t = 't'): string {
  const from = `(${t} - ${span.length})`
  if (span.kind === 'sliding') return from
  const { hop } = span
  return `(${from} - ((${from} % ${hop}) + ${hop}) % ${hop})`
}

/**
 * The newest event that is seen, whatever its age; the feature's span then says whether it still counts. As
 * long as none is taken back, what is the newest changes only when an event becomes known: events and
 * questions are gone through once in the order of those moments. Where that event was taken back before the
 * question, all of the entity's events are looked at.
 */
export function latestSql(
  features: readonly FeaturePlan[],
  { events, spine }: { events: string; spine: string },
): Joined {
  const fields = [...new Set(features.map(({ of }) => fieldColumn(of!)))]
  const fresh = [...new Set(features.map(({ span }) => freshSql(span)))]
  // At the same time an event comes before a question, which has a row.
  const moments = `select entity_key, since as moment, null::bigint as row, place from ${events}
    union all select entity_key, t, row, null from ${spine}`
  const newest = `select row, entity_key, moment as t, max(place) over (
      partition by entity_key order by moment, row nulls first rows unbounded preceding) as place
    from (${moments})`
  const columns = fresh.map((sql, i) => `${sql} as fresh${i}`)
  return {
    sql: `with found as materialized (
        select s.*, e.until <= s.t as undone from (${newest}) as s
        join ${events} as e on e.entity_key = s.entity_key and e.place = s.place
        where s.row is not null),
      newest as (
        select row, entity_key, t, place from found where undone is not true
        union all
        select s.row, any_value(s.entity_key), any_value(s.t), max(e.place) from found as s
        join ${events} as e on e.entity_key = s.entity_key and ${SEEN}
        where s.undone group by s.row)
      select s.row, s.place, ${[...columns, ...fields.map(name => `e.${name}`)].join(', ')}
      from newest as s join ${events} as e on e.entity_key = s.entity_key and e.place = s.place`,
    columns: ['place', ...fresh.map((_, i) => `fresh${i}`), ...fields],
    read([place, ...values]) {
      const isFound = place !== null && place !== undefined
      return features.map(({ of, span }): Ir => {
        if (!isFound || !values[fresh.indexOf(freshSql(span))]) {
          // Out of a window is not seen; past its age is.
          return { n: 0, older: isFound && span.kind === 'latest', value: null }
        }
        const at = fresh.length + fields.indexOf(fieldColumn(of!))
        return { n: 1, older: false, value: storedOf(values[at]) }
      })
    },
  }
}

/** Whether the event `e` is in the span of the question `s`. */
function freshSql(span: Span): string {
  if (span.kind !== 'latest') return `e.event_time >= ${startOf(span, 's.t')}`
  return span.ttl === null ? 'true' : `e.event_time >= s.t - ${span.ttl}`
}
