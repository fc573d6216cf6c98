/** The rows of a table as lines of JSON, each as the time and the data of an event. */
import type { FieldType } from '#schemas/event.ts'
import { type Database, quoted } from '../database.ts'
import { ROWS, type RowsMade, type RowsWork, WrongSpine } from '../messages.ts'
import { spineSource } from '../spine-file.ts'

/** Throws WrongSpine. */
export async function writeRows(
  database: Database,
  { file, time, fields }: RowsWork,
): Promise<RowsMade> {
  const source = await spineSource(database, file)
  const described = await database.rows<[string, string]>(`describe select * from ${source}`)
  const types = new Map(described)
  const known = Object.entries(fields).filter(([name]) => types.has(name))
  const needed = Object.entries(fields).filter(
    ([, field]) => !field.optional && field.default === undefined,
  )
  const missing = [...(time === null ? [] : [time]), ...needed.map(([name]) => name)].filter(
    name => !types.has(name),
  )
  if (missing.length > 0) {
    const has = [...types.keys()].slice(0, 50).join(', ')
    throw new WrongSpine(`The file has no column ${missing.join(', ')}; it has ${has}.`)
  }
  const data = known.map(
    ([name, field]) => `${quoted(name)}: ${valueSql(field.type, quoted(name))}`,
  )
  const at = time === null ? 'null' : timeSql(quoted(time))
  await database.run(
    `copy (select ${at} as time, {${data.join(', ')}} as data from ${source}) to '${ROWS}' (format json)`,
  )
  const [[rows]] = (await database.rows<[bigint]>(`select count(*) from ${source}`)) as [[bigint]]
  return { rows: Number(rows) }
}

/** As JSON would bring it; what does not fit stays as it is, so that the contract can say so. */
function valueSql(type: FieldType, column: string): string {
  if (type === 'time') return timeSql(column)
  if (type !== 'float' && type !== 'bool') return `${column}::varchar`
  const found = `try_cast(${column} as ${type === 'float' ? 'double' : 'boolean'})`
  return `if(${column} is null, null, coalesce(to_json(${found}), to_json(${column}::varchar)))`
}

function timeSql(column: string): string {
  const found = `strftime(try_cast(${column}::varchar as timestamptz), '%Y-%m-%dT%H:%M:%S.%fZ')`
  return `coalesce(${found}, ${column}::varchar)`
}
