/**
 * The second compiler of features: a view as SQL for DuckDB, over the log and a spine of questions. It
 * gives intermediate results, one row per question; values follow from them where all values do.
 *
 * The log's relation has `entity, entity_key, event_time, known_at, seq, retracted_at` (when the first
 * retraction at this entity became known, or null) and a column `f_<field>` per field: BIGINT for int,
 * decimal (unscaled) and time, DOUBLE, VARCHAR, BOOLEAN. The spine has `row`, `entity_key` and `t`. All
 * times are microseconds.
 */
import type { Value } from '#schemas/event.ts'
import type { FeaturePlan, Span, ViewPlan } from '#schemas/feature.ts'
import { ExactSum } from './exact-sum.ts'
import { filterSql, parseExpression } from './expression.ts'
import type { Ir } from './finalize.ts'

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

/** Columns of one feature, and how its intermediate result follows from them. */
type Part = { columns: string[]; read(values: readonly unknown[], n: number): Ir }

export function viewQuery(
  view: ViewPlan,
  o: { log: string; spine: string; knowledge: Knowledge },
): ViewQuery {
  const groups = groupsOf(view.features)
  const queries = groups.map(({ span, features }, i) =>
    span.kind === 'latest'
      ? latestSql(view, span, features, o, `g${i}`)
      : windowSql(view, span, features, o, `g${i}`),
  )
  const width = queries.map(({ columns }) => columns.length)
  const columns = queries.flatMap((query, i) => query.columns.map(name => `g${i}.${name}`))
  const joins = queries.map(({ sql }, i) => `left join (${sql}) as g${i} on g${i}.row = s.row`)
  return {
    sql: `select s.row, ${columns.join(', ')} from ${o.spine} as s ${joins.join(' ')} order by s.row`,
    read(values) {
      const found: Ir[] = new Array(view.features.length)
      let at = 0
      for (const [i, { indexes }] of groups.entries()) {
        const irs = queries[i]!.read(values.slice(at, at + width[i]!))
        for (const [j, index] of indexes.entries()) found[index] = irs[j]!
        at += width[i]!
      }
      return found
    },
  }
}

type Query = { sql: string; columns: string[]; read(values: readonly unknown[]): Ir[] }
type Group = { span: Span; features: FeaturePlan[]; indexes: number[] }

function groupsOf(features: readonly FeaturePlan[]): Group[] {
  const groups = new Map<string, Group>()
  for (const [index, feature] of features.entries()) {
    const name = JSON.stringify(feature.span)
    const group = groups.get(name) ?? { span: feature.span, features: [], indexes: [] }
    group.features.push(feature)
    group.indexes.push(index)
    groups.set(name, group)
  }
  return [...groups.values()]
}

function windowSql(
  view: ViewPlan,
  span: Exclude<Span, { kind: 'latest' }>,
  features: FeaturePlan[],
  o: Parameters<typeof viewQuery>[1],
  alias: string,
): Query {
  const parts = features.map((feature, i) => partOf(feature, `${alias}_${i}`))
  const from = `(s.t - ${span.length})`
  const start =
    span.kind === 'sliding'
      ? from
      : `(${from} - ((${from} % ${span.hop}) + ${span.hop}) % ${span.hop})`
  const selected = ['count(e.event_time) as n', ...parts.flatMap(({ columns }) => columns)]
  const sql = `select s.row, ${selected.join(', ')} from ${o.spine} as s
    left join ${visible(view, o.log)} as e on ${seen(o.knowledge)} and e.event_time >= ${start}
    group by s.row`
  const widths = parts.map(({ columns }) => columns.length)
  return {
    sql,
    columns: selected.map(column => /as (\w+)$/.exec(column)![1]!),
    read([n, ...values]) {
      const count = Number(n ?? 0)
      let at = 0
      return parts.map((part, i) => {
        const ir = part.read(values.slice(at, at + widths[i]!), count)
        at += widths[i]!
        return ir
      })
    },
  }
}

/** The newest event before t, whatever its age; the ttl then says whether it still counts. */
function latestSql(
  view: ViewPlan,
  { ttl }: Extract<Span, { kind: 'latest' }>,
  features: FeaturePlan[],
  o: Parameters<typeof viewQuery>[1],
  alias: string,
): Query {
  const fields = features.map(({ of }, i) => `'v${i}': e.${fieldColumn(of!)}`)
  const struct = `{'a': e.event_time, 'b': e.known_at, 'c': e.seq, ${fields.join(', ')}}`
  const fresh = ttl === null ? 'true' : `${alias}_top.a >= t - ${ttl}`
  const sql = `select row, ${alias}_top as top, ${fresh} as fresh from (
    select s.row, any_value(s.t) as t, max(${struct}) as ${alias}_top from ${o.spine} as s
    join ${visible(view, o.log)} as e on ${seen(o.knowledge)} group by s.row)`
  return {
    sql,
    columns: ['top', 'fresh'],
    read([top, isFresh]) {
      const found = top as Record<string, unknown> | null
      return features.map((_, i): Ir => {
        if (found === null || !isFresh) return { n: 0, older: found !== null, value: null }
        return { n: 1, older: false, value: storedOf(found[`v${i}`]) }
      })
    },
  }
}

/** Events of the view that may count at some time. */
function visible(view: ViewPlan, log: string): string {
  const tree = view.filter === null ? null : parseExpression(view.filter, view.fields)
  const filter = tree === null ? 'true' : filterSql(tree, view.filter!, fieldColumn)
  return `(select * from ${log} where entity = ${text(view.entity)}
    and known_at - event_time <= ${view.latenessMax} and ${filter})`
}

/** What a question at s.t sees of the events of its entity: those known by a horizon and not retracted by it. */
function seen({ mode, asOf }: Knowledge): string {
  const before = 'e.entity_key = s.entity_key and e.event_time < s.t'
  if (mode === 'as_corrected' && asOf === null) return `${before} and e.retracted_at is null`
  const served = asOf === null ? 's.t' : `least(s.t, ${asOf})`
  const horizon = mode === 'as_served' ? served : String(asOf)
  const standing = `(e.retracted_at is null or e.retracted_at > ${horizon})`
  return `${before} and e.known_at <= ${horizon} and ${standing}`
}

function partOf(feature: FeaturePlan, alias: string): Part {
  const { aggregate } = feature
  if (aggregate === 'count') return { columns: [], read: (_, n) => ({ n }) }
  const column = `e.${fieldColumn(feature.of!)}`
  const one = (sql: string, read: (value: unknown, n: number) => Ir): Part => ({
    columns: [`${sql} as ${alias}`],
    read: ([value], n) => read(value, n),
  })
  const ordered = `{'a': e.event_time, 'b': e.known_at, 'c': e.seq, 'v': ${column}}`
  // A question without events still has a row, in which every field of the event is null.
  const there = 'filter (where e.event_time is not null)'
  switch (aggregate) {
    case 'sum':
    case 'avg':
      return feature.ofType!.type === 'float' ? floats(column, alias) : integers(column, alias)
    case 'var':
      return squares(column, alias)
    case 'min':
    case 'max':
      return one(`${aggregate}(${column})`, (value, n) => ({ n, value: storedOf(value) }))
    case 'distinct':
      return one(`count(distinct ${column})`, (value, n) => ({ n, count: Number(value ?? 0) }))
    case 'last':
      return one(`max(${ordered}) ${there}`, (value, n) => ({ n, value: fieldOf(value) }))
    case 'first':
      return one(`min(${ordered}) ${there}`, (value, n) => ({ n, value: fieldOf(value) }))
    case 'last_k':
      return one(`max(${ordered}, ${feature.k!}) ${there}`, (value, n) => ({
        n,
        values: ((value ?? []) as unknown[]).map(fieldOf),
      }))
  }
}

function integers(column: string, alias: string): Part {
  return {
    columns: [`count(${column}) as ${alias}_n`, `sum(${column}::hugeint) as ${alias}_s`],
    read: ([nonNull, sum], n) => ({
      n,
      nonNull: Number(nonNull ?? 0),
      sum: BigInt((sum ?? 0) as bigint),
    }),
  }
}

/** The sum of doubles depends on their order here, so they come one by one and are summed exactly. */
function floats(column: string, alias: string): Part {
  return {
    columns: [`list(${column}) filter (where ${column} is not null) as ${alias}`],
    read([values], n) {
      const exact = new ExactSum()
      const list = (values ?? []) as number[]
      for (const value of list) exact.add(value)
      return { n, nonNull: list.length, exact }
    },
  }
}

function squares(column: string, alias: string): Part {
  const sums = integers(column, alias)
  return {
    columns: [...sums.columns, `sum(${column}::hugeint * ${column}::hugeint) as ${alias}_q`],
    read: ([nonNull, sum, square], n) => ({
      ...sums.read([nonNull, sum], n),
      squares: BigInt((square ?? 0) as bigint),
    }),
  }
}

function fieldOf(struct: unknown): Value {
  return storedOf((struct as { v: unknown } | null)?.v)
}

/** BIGINT comes as a bigint, and is a safe integer by its contract. */
function storedOf(value: unknown): Value {
  if (value === undefined || value === null) return null
  return typeof value === 'bigint' ? Number(value) : (value as Value)
}

export function fieldColumn(field: string): string {
  return `f_${field}`
}

function text(value: string): string {
  return `'${value.replaceAll("'", "''")}'`
}
