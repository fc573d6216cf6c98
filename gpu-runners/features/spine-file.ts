/** The file of the spine as a relation, with types that follow from all of its rows. */
import { type Database, quoted } from './database.ts'
import { type SpineFile, WrongSpine } from './messages.ts'

/** Of a line of JSON: as much as DuckDB takes by itself. */
const LINE_BYTES_MAX = 16 * 2 ** 20

/** Throws WrongSpine. */
export function spineSource(database: Database, { file, format }: SpineFile): Promise<string> {
  return format === 'jsonl' ? linesSource(database, file) : parquetSource(database, file)
}

async function parquetSource(database: Database, file: string): Promise<string> {
  const source = `read_parquet('${file}', hive_partitioning = false)`
  try {
    await database.rows(`select * from ${source} limit 0`)
  } catch (error) {
    const why = (error as Error).message.replaceAll(`'${file}'`, 'it')
    throw new WrongSpine(
      `The spine cannot be read as Parquet: ${why} Lines of JSON are taken with "format": "jsonl".`,
    )
  }
  return source
}

/**
 * Lines of JSON. Texts stay texts, whatever they look like: a label "2026-01-31" is no time because it could
 * be one. A column of numbers and texts is one of texts.
 */
async function linesSource(database: Database, file: string): Promise<string> {
  await database.run(`create table lines as select row_number() over () - 1 as "_row", json
    from read_json_objects('${file}', format = 'newline_delimited', maximum_object_size = ${LINE_BYTES_MAX})`)
  const [odd] = await database.rows<[bigint, string]>(
    `select "_row", json_type(json) from lines where json_type(json) <> 'OBJECT' order by 1 limit 1`,
  )
  if (odd) {
    throw new WrongSpine(
      `Row ${odd[0]} (from 0) is ${odd[1]}; a row is an object such as {"card": "c1", "timestamp": "2026-01-31T12:00:00Z"}.`,
    )
  }
  const [[structure]] = (await database.rows<[string | null]>(
    'select json_group_structure(json)::varchar from lines',
  )) as [[string | null]]
  const columns = Object.entries(JSON.parse(structure ?? '{}') as Record<string, unknown>)
  if (columns.length === 0) throw new WrongSpine('The spine has no rows.')
  const form = JSON.stringify(
    Object.fromEntries(columns.map(([name, type]) => [name, readAs(type)])),
  )
  await database.run(`create table given as select "_row", unnest(json_transform(json,
    '${form.replaceAll("'", "''")}')) from lines`)
  await database.run('drop table lines')
  const larger = await largeColumns(database, columns)
  const selected = columns.map(
    ([name, type]) => `${columnSql(name, type, larger)} as ${quoted(name)}`,
  )
  return `(select ${selected.join(', ')} from given order by given."_row")`
}

/** Columns of whole numbers of which some have no room in 64 bits with a sign. */
async function largeColumns(
  database: Database,
  columns: readonly [string, unknown][],
): Promise<Set<string>> {
  const whole = columns.filter(([, type]) => isWhole(type)).map(([name]) => name)
  if (whole.length === 0) return new Set()
  const [found] = await database.rows<boolean[]>(
    `select ${whole.map(name => `bool_or(try_cast(${quoted(name)} as bigint) is null and ${quoted(name)} is not null)`).join(', ')} from given`,
  )
  return new Set(whole.filter((_, i) => found![i]))
}

/** As DuckDB calls what holds all of a column. */
function isWhole(type: unknown): boolean {
  return type === 'UBIGINT' || type === 'HUGEINT' || type === 'BIGINT'
}

function readAs(type: unknown): string {
  if (type === 'NULL') return 'VARCHAR'
  return typeof type === 'string' ? type : 'JSON'
}

function columnSql(name: string, type: unknown, larger: ReadonlySet<string>): string {
  const column = `given.${quoted(name)}`
  if (isWhole(type)) return `${column}::${larger.has(name) ? 'double' : 'bigint'}`
  if (readAs(type) !== 'JSON') return column
  const isNested = `json_type(${column}) in ('OBJECT', 'ARRAY')`
  return `if(${isNested}, ${column}::varchar, ${column}->>'$')`
}
