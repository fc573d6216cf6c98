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

type Window = Exclude<Span, { kind: 'latest' }>
type Latest = Extract<Span, { kind: 'latest' }>

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
function startOf(span: Window): string {
  const from = `(t - ${span.length})`
  if (span.kind === 'sliding') return from
  const { hop } = span
  return `(${from} - ((${from} % ${hop}) + ${hop}) % ${hop})`
}

/**
 * The newest event that is seen, whatever its age; the ttl then says whether it still counts. As long as
 * none is taken back, what is the newest changes only when an event becomes known: those moments are gone
 * through once, and a question finds its moment. Where that event was taken back before the question, all
 * of the entity's events are looked at.
 */
export function latestSql(
  { ttl }: Latest,
  features: readonly FeaturePlan[],
  { events, spine }: { events: string; spine: string },
): Joined {
  const fields = [...new Set(features.map(({ of }) => fieldColumn(of!)))]
  const moments = `select entity_key, since,
      max(place) over (partition by entity_key order by since rows unbounded preceding) as place
    from (select entity_key, since, max(place) as place from ${events} group by entity_key, since)`
  const fresh = ttl === null ? 'true' : `e.event_time >= s.t - ${ttl}`
  return {
    sql: `with found as materialized (
        select s.row, s.entity_key, s.t, s.place, e.until <= s.t as undone from (
          select s.row, s.entity_key, s.t, e.place from ${spine} as s
          asof join (${moments}) as e on e.entity_key = s.entity_key and s.t >= e.since) as s
        join ${events} as e on e.entity_key = s.entity_key and e.place = s.place),
      newest as (
        select row, entity_key, t, place from found where undone is not true
        union all
        select s.row, any_value(s.entity_key), any_value(s.t), max(e.place) from found as s
        join ${events} as e on e.entity_key = s.entity_key and ${SEEN}
        where s.undone group by s.row)
      select s.row, s.place, ${fresh} as fresh, ${fields.map(name => `e.${name}`).join(', ')}
      from newest as s join ${events} as e on e.entity_key = s.entity_key and e.place = s.place`,
    columns: ['place', 'fresh', ...fields],
    read([place, isFresh, ...values]) {
      const isFound = place !== null && place !== undefined
      return features.map(({ of }): Ir => {
        if (!isFound || !isFresh) return { n: 0, older: isFound, value: null }
        return { n: 1, older: false, value: storedOf(values[fields.indexOf(fieldColumn(of!))]) }
      })
    },
  }
}
