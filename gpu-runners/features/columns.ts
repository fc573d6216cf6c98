/**
 * Values as columns of DuckDB. On the way they are in stored form, whole numbers as doubles, which hold
 * each safe integer; what is written has the types that a reader expects.
 */
import {
  BOOLEAN,
  DOUBLE,
  DuckDBDataChunk,
  type DuckDBType,
  type DuckDBValue,
  HUGEINT,
  LIST,
  listValue,
  VARCHAR,
} from '@duckdb/node-api'
import type { FeatureValue, ValueType } from '#schemas/feature.ts'
import { type Database, quoted } from './database.ts'

export type Column = {
  name: string
  type: ValueType
  /** A sum of whole numbers, which may be larger than any of them. */
  isSum: boolean
}

const CHUNK_ROWS = 2_048
const DECIMAL_DIGITS = 38

/** The type in which a value waits. */
export function waiting({ type, isSum }: Column): DuckDBType {
  const one =
    type.type === 'string' ? VARCHAR : type.type === 'bool' ? BOOLEAN : isSum ? HUGEINT : DOUBLE
  return type.list ? LIST(one) : one
}

/** The value as it waits. */
export function held({ isSum }: Column, value: FeatureValue): DuckDBValue {
  if (value === null) return null
  if (isSum) return BigInt(value as number | string)
  return Array.isArray(value) ? listValue(value) : value
}

/** SQL of the type that is written: BIGINT, DECIMAL, DOUBLE, VARCHAR, BOOLEAN, TIMESTAMP WITH TIME ZONE. */
export function written({ type, isSum }: Column, column: string): string {
  if (type.list) return `list_transform(${column}, x -> ${writtenOne(type, false, 'x')})`
  return writtenOne(type, isSum, column)
}

function writtenOne({ type, scale = 0 }: ValueType, isSum: boolean, sql: string): string {
  if (type === 'int') return `${sql}::bigint`
  if (type === 'time') return `make_timestamptz(${sql}::bigint)`
  if (type !== 'decimal') return sql
  // A product of decimals is exact; a quotient would be a double.
  const digits = isSum ? DECIMAL_DIGITS - scale - 1 : 17
  const unit = `(${10 ** -scale})::decimal(${scale + 1}, ${scale})`
  const units = `${sql}::hugeint::decimal(${digits}, 0) * ${scale === 0 ? 1 : unit}`
  return `(${units})::decimal(${isSum ? DECIMAL_DIGITS : 18}, ${scale})`
}

/** Makes a table of the columns and fills it from arrays, one per column. */
export async function store(
  database: Database,
  table: string,
  columns: { name: string; type: DuckDBType }[],
  values: readonly (readonly DuckDBValue[])[],
): Promise<void> {
  const listed = columns.map(({ name, type }) => `${quoted(name)} ${type}`).join(', ')
  await database.writer.run(`create table if not exists ${table} (${listed})`)
  const appender = await database.writer.createAppender(table)
  const types = columns.map(({ type }) => type)
  const rows = values[0]!.length
  for (let from = 0; from < rows; from += CHUNK_ROWS) {
    const chunk = DuckDBDataChunk.create(types, Math.min(CHUNK_ROWS, rows - from))
    for (const [i, column] of values.entries()) {
      chunk.setColumnValues(i, column.slice(from, from + CHUNK_ROWS))
    }
    appender.appendDataChunk(chunk)
  }
  appender.closeSync()
}
