/** Aggregates as columns of SQL, and how intermediate results follow from them. */
import type { Value } from '#schemas/event.ts'
import type { FeaturePlan } from '#schemas/feature.ts'
import { ExactSum } from '../exact-sum.ts'
import type { Ir } from '../finalize.ts'

/** Columns of one group of features, each expression once, however many features use it. */
export type Columns = { names: string[]; sql: string[] }
/** From the values of the group's columns. */
export type ReadIr = (values: readonly unknown[], n: number) => Ir

/** A feature over the events `e` that are joined to a question; `e.place` is their order. */
export function aggregate(feature: FeaturePlan, columns: Columns): ReadIr {
  if (feature.aggregate === 'count') return (_, n) => ({ n })
  const field = `e.${fieldColumn(feature.of!)}`
  const column = (sql: string) => indexOf(columns, sql)
  switch (feature.aggregate) {
    case 'sum':
    case 'avg':
      return feature.ofType!.type === 'float' ? floats(field, column) : integers(field, column)
    case 'var':
      return squares(feature.of!, column)
    case 'min':
    case 'max': {
      const at = column(`${feature.aggregate}(${field})`)
      return (values, n) => ({ n, value: storedOf(values[at]) })
    }
    case 'distinct': {
      const at = column(`count(distinct ${field})`)
      return (values, n) => ({ n, count: Number(values[at] ?? 0) })
    }
    case 'last':
    case 'first': {
      // The one without _null would pass over events whose field is null.
      const pick = feature.aggregate === 'last' ? 'arg_max_null' : 'arg_min_null'
      const at = column(`${pick}(${field}, e.place)`)
      return (values, n) => ({ n, value: storedOf(values[at]) })
    }
    case 'last_k': {
      const at = column(`arg_max({'v': ${field}}, e.place, ${feature.k!})`)
      return (values, n) => ({
        n,
        values: ((values[at] ?? []) as { v: unknown }[]).map(({ v }) => storedOf(v)),
      })
    }
  }
}

/** The column of a field in the log. */
export function fieldColumn(field: string): string {
  return `f_${field}`
}

/** Of a field's square, which is computed once per event, not once per question that sees it. */
export function squareColumn(field: string): string {
  return `q_${field}`
}

/** BIGINT comes as a bigint, and is a safe integer by its contract. */
export function storedOf(value: unknown): Value {
  if (value === undefined || value === null) return null
  return typeof value === 'bigint' ? Number(value) : (value as Value)
}

function indexOf({ names, sql }: Columns, expression: string): number {
  const known = sql.indexOf(expression)
  if (known >= 0) return known
  names.push(`c${sql.length}`)
  return sql.push(expression) - 1
}

/** The sum of BIGINT is a HUGEINT, so it is exact. */
function integers(field: string, column: (sql: string) => number): ReadIr {
  const [count, sum] = [column(`count(${field})`), column(`sum(${field})`)]
  return (values, n) => ({ n, nonNull: Number(values[count] ?? 0), sum: whole(values[sum]) })
}

function squares(name: string, column: (sql: string) => number): ReadIr {
  const sums = integers(`e.${fieldColumn(name)}`, column)
  const square = column(`sum(e.${squareColumn(name)})`)
  return (values, n) => ({ ...sums(values, n), squares: whole(values[square]) })
}

/** The sum of doubles depends on their order here, so they come one by one and are summed exactly. */
function floats(field: string, column: (sql: string) => number): ReadIr {
  const at = column(`list(${field}) filter (where ${field} is not null)`)
  return (values, n) => {
    const exact = new ExactSum()
    const list = (values[at] ?? []) as number[]
    for (const value of list) exact.add(value)
    return { n, nonNull: list.length, exact }
  }
}

function whole(value: unknown): bigint {
  return BigInt((value ?? 0) as bigint | number)
}
