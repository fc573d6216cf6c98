/** What the columns of a segment are, and how the log is read from segments and rows: SQL for DuckDB. */
import { sqlText } from '#core/sql-text.ts'
import type { EventType, Field } from '#schemas/event.ts'

/** `sql`: the column's type. `from`: its value, where `data` is the JSON of the event's data. */
export type SegmentColumn = { name: string; sql: string; from: string }

const MICROS = 'make_timestamp'

/** In the file's order. Fields have `f_` before their names, so that none meets another column. */
export function segmentColumns(type: EventType): SegmentColumn[] {
  const same = (name: string, sql: string) => ({ name, sql, from: name })
  const time = (name: string) => ({ name, sql: 'TIMESTAMP', from: `${MICROS}(${name})` })
  return [
    same('number', 'BIGINT'),
    same('key', 'VARCHAR'),
    same('source', 'VARCHAR'),
    same('id', 'VARCHAR'),
    same('type', 'VARCHAR'),
    same('version', 'INTEGER'),
    time('event_time'),
    time('received_at'),
    same('entity', 'VARCHAR'),
    same('entity_key', 'VARCHAR'),
    same('partition', 'INTEGER'),
    same('seq', 'BIGINT'),
    time('known_at'),
    same('retracts', 'VARCHAR'),
    ...Object.entries(type.fields).map(([name, field]) => fieldColumn(name, field)),
  ]
}

export { measureSql } from '../quality/measure.ts'

/** The columns of a row as JSON; see LogRow. */
export const ROW_COLUMNS =
  "{number: 'BIGINT', key: 'VARCHAR', source: 'VARCHAR', id: 'VARCHAR', type: 'VARCHAR', version: 'INTEGER', event_time: 'BIGINT', received_at: 'BIGINT', entity: 'VARCHAR', entity_key: 'VARCHAR', partition: 'INTEGER', seq: 'BIGINT', known_at: 'BIGINT', retracts: 'VARCHAR', data: 'JSON'}"

/** Rows as lines of JSON, as a relation with the columns of a segment. */
export function rowsAsSegment(type: EventType, file: string): string {
  const columns = segmentColumns(type).map(({ name, from }) => `${from} as ${name}`)
  return `(select ${columns.join(', ')} from read_json(${sqlText(file)},
    format = 'newline_delimited', columns = ${ROW_COLUMNS}))`
}

/**
 * The log as core/features/sql.ts wants it: of places alone, values in stored form, with the time at which
 * the first retraction at the entity became known. `segments` and `rows` (lines of JSON) are file names; of
 * what they hold, events with a number past `to` are left out.
 */
export function logRelation(
  type: EventType,
  files: { segments: readonly string[]; rows: readonly string[]; to?: number },
): string {
  const parts = [
    // A segment that was sealed under an earlier contract lacks the fields that came later.
    ...files.segments.map(file => `select * from read_parquet(${sqlText(file)})`),
    ...files.rows.map(file => `select * from ${rowsAsSegment(type, file)}`),
    `select ${segmentColumns(type)
      .map(({ name, sql }) => `null::${sql} as ${name}`)
      .join(', ')} where false`,
  ]
  const fields = Object.entries(type.fields).map(([name, field]) => `, ${storedSql(name, field)}`)
  const upTo = files.to === undefined ? 'true' : `number <= ${files.to}`
  return `(with log as (select * from (${parts.join(' union all by name ')}) where ${upTo}),
    undone as (select retracts, entity, entity_key, min(known_at) as at from log
      where retracts is not null and entity is not null group by all)
    select log.entity, log.entity_key, epoch_us(log.event_time) as event_time,
      epoch_us(log.known_at) as known_at, log.seq, epoch_us(undone.at) as retracted_at
      ${fields.join('')}
    from log left join undone on undone.retracts = log.key and undone.entity = log.entity
      and undone.entity_key = log.entity_key
    where log.retracts is null and log.entity is not null)`
}

function fieldColumn(name: string, field: Field): SegmentColumn {
  const value = `data->>'${name}'`
  const column = (sql: string, from: string) => ({ name: `f_${name}`, sql, from })
  switch (field.type) {
    case 'int':
      return column('BIGINT', `(${value})::BIGINT`)
    case 'decimal': {
      const { scale = 0 } = field
      // Unscaled values have 16 digits at most, and are divided as whole numbers.
      const sql = `DECIMAL(18, ${scale})`
      return column(sql, `((${value})::DECIMAL(38, 0) * ${power(-scale)})::${sql}`)
    }
    case 'time':
      return column('TIMESTAMP', `${MICROS}((${value})::BIGINT)`)
    case 'float':
      return column('DOUBLE', `(${value})::DOUBLE`)
    case 'bool':
      return column('BOOLEAN', `(${value})::BOOLEAN`)
    case 'string':
      return column('VARCHAR', value)
  }
}

/** From the file's column to the stored form of the value. */
function storedSql(name: string, { type, scale = 0 }: Field): string {
  const column = `log.f_${name}`
  if (type === 'time') return `epoch_us(${column}) as f_${name}`
  if (type === 'decimal') {
    return `(${column}::DECIMAL(38, ${scale}) * ${power(scale)})::BIGINT as f_${name}`
  }
  return `${column} as f_${name}`
}

/** A power of ten as an exact literal. */
function power(exponent: number): string {
  const zeros = '0'.repeat(Math.abs(exponent))
  return exponent < 0 ? `0.${zeros.slice(1)}1` : `1${zeros}`
}
