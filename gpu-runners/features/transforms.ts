/** Transforms over the values of features and the fields of requests, by what evaluates them in a read. */
import { BIGINT, type DuckDBValue, VARCHAR } from '@duckdb/node-api'
import { AppError } from '#core/error.ts'
import { type Cells, compileReader, compileTransforms } from '#core/features/reader.ts'
import type { Value } from '#schemas/event.ts'
import type { FeatureValue, ServicePlan, ValueType } from '#schemas/feature.ts'
import { type Column, held, store, waiting } from './columns.ts'
import { type Database, quoted } from './database.ts'
import { WrongSpine } from './messages.ts'

const ROWS_AT_ONCE = 50_000

/** Fills `table` with `number` and a column per transform. `from`: a relation with `number` and the features' columns. */
export async function transformRows(
  database: Database,
  o: {
    plan: ServicePlan
    rows: number
    from: string
    features: string[]
    table: string
    columns: Column[]
    statuses: (string | null)[]
  },
): Promise<void> {
  const { plan, columns, statuses } = o
  const transforms = compileTransforms(plan)
  const { request } = compileReader(plan)
  const fields = Object.entries(plan.request)
  const selected = [
    ...o.features.map(name => `v.${quoted(name)}`),
    ...fields.map(([name, type]) => `${givenSql(type, `s.${quoted(name)}`)}`),
  ]
  const types = columns.flatMap((column, i) => [
    { name: column.name, type: waiting(column) },
    ...(statuses[i] === null ? [] : [{ name: statuses[i]!, type: VARCHAR }]),
  ])
  for (let from = 0; from < o.rows; from += ROWS_AT_ONCE) {
    const rows = await database.rows(`select v.number, ${selected.join(', ')} from ${o.from} as v
      join spine as s on s."_row" = v.number
      where v.number >= ${from} and v.number < ${from + ROWS_AT_ONCE} order by v.number`)
    const found = rows.map(([at, ...cells]) => {
      const values = cells.slice(0, o.features.length).map(readValue)
      const given = cells.slice(o.features.length).map((value, i) => [fields[i]![0], value])
      const row: Cells = { values, request: checked(request, Object.fromEntries(given), at) }
      return transforms.map(transform => transform(row))
    })
    const stored = columns.flatMap((column, i): DuckDBValue[][] => {
      const own = found.map(values => held(column, values[i]!))
      if (statuses[i] === null) return [own]
      return [own, own.map(value => (value === null ? 'NULL_VALUE' : 'PRESENT'))]
    })
    const at = rows.map(([at]) => at as bigint)
    await store(database, o.table, [{ name: 'number', type: BIGINT }, ...types], [at, ...stored])
  }
}

/** As a read gives it: a sum that no safe integer holds is its digits. */
function readValue(value: unknown): FeatureValue {
  if (typeof value !== 'bigint') return value as FeatureValue
  const number = Number(value)
  return Number.isSafeInteger(number) ? number : String(value)
}

/** A field of a request as JSON would bring it. */
function givenSql({ type }: ValueType, column: string): string {
  switch (type) {
    case 'int':
    case 'decimal':
    case 'string':
      return `${column}::varchar`
    case 'float':
      return `${column}::double`
    case 'bool':
      return `${column}::boolean`
    case 'time':
      return `strftime(${column}::timestamptz, '%Y-%m-%dT%H:%M:%S.%fZ')`
  }
}

function checked(
  request: (given: unknown, pointer: string) => Record<string, Value>,
  given: Record<string, unknown>,
  at: unknown,
): Record<string, Value> {
  try {
    return request(given, '')
  } catch (error) {
    if (!(error instanceof AppError)) throw error
    const [first] = error.errors ?? []
    throw new WrongSpine(
      `Row ${at} (from 0)${first ? `, column "${first.pointer.slice(1)}": ${first.detail}` : `: ${error.public}`}`,
    )
  }
}
