/**
 * The second compiler of features: a view as SQL for DuckDB, over the log and a spine of questions. It
 * gives intermediate results, one row per question; values follow from them where all values do.
 *
 * The log's relation has `entity, entity_key, event_time, known_at, seq, retracted_at` (when the first
 * retraction at this entity became known, or null) and a column `f_<field>` per field: BIGINT for
 * int, decimal (unscaled) and time, DOUBLE, VARCHAR, BOOLEAN. The spine has `row`, `entity_key` and `t`.
 * All times are microseconds.
 */
import { sqlText } from '#core/sql-text.ts'
import type { FeaturePlan, Span, ViewPlan } from '#schemas/feature.ts'
import { filterSql, parseExpression } from './expression.ts'
import type { Ir } from './finalize.ts'
import { fieldColumn, squareColumn } from './sql/aggregates.ts'
import { type Joined, latestSql, type Window, windowSql } from './sql/spans.ts'

export { fieldColumn }

/**
 * `as_served`: what a read at t saw. `as_corrected`: also what became known later, retractions included.
 * `asOf` (microseconds) leaves out what became known after it: the same question then has the same answer
 * for ever.
 */
export type Knowledge = { mode: 'as_served' | 'as_corrected'; asOf: number | null }

export type ViewQuery = {
  /** Gives `row`, then the columns that `read` takes, in the order of the spine's rows. */
  sql: string
  /** Intermediate results by feature, from one row without its number. */
  read(columns: readonly unknown[]): Ir[]
}

/**
 * The place of an event among those of its entity: the order of (event_time, known_at, seq). Both are
 * given by the partition's single writer in one go, so that seq alone gives the order of the two.
 */
const PLACE = 'event_time::hugeint * 18446744073709551616 + seq'

/** Those for which the order of events matters. */
const ORDERED: readonly string[] = ['last', 'first', 'last_k']

export function viewQuery(
  view: ViewPlan,
  o: { log: string; spine: string; knowledge: Knowledge },
): ViewQuery {
  const groups = groupsOf(view.features)
  const from = { events: 'events', spine: o.spine }
  const queries = groups.map(({ span, isNewest, features }) =>
    isNewest ? latestSql(features, from) : windowSql(span as Window, features, from),
  )
  const named = queries.map(({ sql }, i) => `g${i} as materialized (${sql})`)
  const columns = queries.flatMap((query, i) => query.columns.map(name => `g${i}.${name}`))
  const joins = queries.map((_, i) => `left join g${i} on g${i}.row = s.row`)
  return {
    sql: `with events as materialized (${visible(view, o)}), ${named.join(', ')}
      select s.row, ${columns.join(', ')} from ${o.spine} as s ${joins.join(' ')} order by s.row`,
    read: values => readGroups(view, groups, queries, values),
  }
}

type Group = { span: Span; isNewest: boolean; features: FeaturePlan[]; indexes: number[] }

/**
 * Features that look at the same events are computed in one pass. The newest event of a window is that of all,
 * as long as it is in the window.
 */
function groupsOf(features: readonly FeaturePlan[]): Group[] {
  const groups = new Map<string, Group>()
  for (const [index, feature] of features.entries()) {
    const { aggregate, span } = feature
    const isNewest = aggregate === 'last'
    const name = isNewest ? 'newest' : JSON.stringify(span)
    const group = groups.get(name) ?? { span, isNewest, features: [], indexes: [] }
    group.features.push(feature)
    group.indexes.push(index)
    groups.set(name, group)
  }
  return [...groups.values()]
}

function readGroups(
  { features }: ViewPlan,
  groups: readonly Group[],
  queries: readonly Joined[],
  values: readonly unknown[],
): Ir[] {
  const found: Ir[] = new Array(features.length)
  let at = 0
  for (const [i, { columns, read }] of queries.entries()) {
    const irs = read(values.slice(at, at + columns.length))
    for (const [j, index] of groups[i]!.indexes.entries()) found[index] = irs[j]!
    at += columns.length
  }
  return found
}

/**
 * The events of the view, each with the times of questions that see it: from `since` to before `until`, or
 * for ever. An event is never seen at its own time, nor before it is known.
 */
function visible(
  view: ViewPlan,
  { log, knowledge }: { log: string; knowledge: Knowledge },
): string {
  const { mode, asOf } = knowledge
  const isServed = mode === 'as_served'
  const known = asOf === null ? 'true' : `known_at <= ${asOf}`
  const undone = asOf === null ? 'retracted_at' : `if(retracted_at <= ${asOf}, retracted_at, null)`
  const since = isServed ? 'greatest(event_time + 1, known_at)' : 'event_time + 1'
  const until = isServed ? undone : 'null::bigint'
  const tree = view.filter === null ? null : parseExpression(view.filter, view.fields)
  const filter = tree === null ? 'true' : filterSql(tree, view.filter!, fieldColumn)
  const fields = [...new Set(view.features.flatMap(({ of }) => of ?? []))].map(fieldColumn)
  const squares = view.features
    .filter(({ aggregate }) => aggregate === 'var')
    .map(({ of }) => {
      const field = `${fieldColumn(of!)}::hugeint`
      return `${field} * ${field} as ${squareColumn(of!)}`
    })
  const isOrdered = view.features.some(({ aggregate }) => ORDERED.includes(aggregate))
  const place = isOrdered ? [`${PLACE} as place`] : []
  const selected = [...place, ...fields, ...new Set(squares)].map(sql => `, ${sql}`).join('')
  return `select entity_key, event_time, ${since} as since, ${until} as until${selected}
    from ${log} where entity = ${sqlText(view.entity)} and ${known}
    and known_at - event_time <= ${view.latenessMax} and ${filter}
    and ${isServed ? `(${undone} is null or ${undone} > known_at)` : `${undone} is null`}`
}
