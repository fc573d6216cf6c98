/**
 * The spine as questions: each row with its number, its time in microseconds, and for each entity the
 * number of its key, which is what the log is joined by.
 */
import { type Database, quoted } from './database.ts'
import { type KeyField, type TrainingSet, WrongSpine } from './messages.ts'

/** A spine as wide as that is no spine. */
const COLUMNS_MAX = 2_000
/** Which ASCII letters may not stand in a JSON text as they are, besides the quote and the backslash. */
const CONTROLS = Array.from({ length: 31 }, (_, i) => i + 1)

export type Spine = { rows: number; columns: string[] }

/** Makes `spine` (all that was given, with `row`), `questions` (row, t, k<i>) and `keys<i>` per entity. */
export async function readSpine(database: Database, set: TrainingSet): Promise<Spine> {
  const described = await database.rows<[string, string]>(`describe select * from ${set.spine}`)
  const types = new Map(described.map(([name, type]) => [name, type]))
  checkColumns(types, set)
  await database.run(
    `create table spine as select (row_number() over ()) - 1 as "_row", * from ${set.spine}`,
  )
  const entities = Object.entries(set.entities)
  const texts = entities.map(([, fields], i) => `${keySql(fields, types)} as text${i}`)
  await database.run(`create table asked as select "_row" as row, ${timeSql(types.get('t')!)} as t
    ${texts.map(text => `, ${text}`).join('')} from spine`)
  const [first] = await database.rows<[bigint]>(
    'select row from asked where t is null order by row limit 1',
  )
  if (first) throw new WrongSpine(`Row ${first[0]} (from 0) has no time in "t".`)
  for (const i of entities.keys()) {
    await database.run(`create table keys${i} as
      select text, row_number() over () - 1 as key, count(*) as questions
      from (select text${i} as text from asked where text is not null) group by text`)
  }
  const joins = entities.map((_, i) => `left join keys${i} on keys${i}.text = asked.text${i}`)
  await database.run(`create table questions as
    select asked.row, asked.t ${entities.map((_, i) => `, keys${i}.key as k${i}`).join('')}
    from asked ${joins.join(' ')}`)
  await database.run('drop table asked')
  const [count] = await database.rows<[bigint]>('select count(*) from spine')
  return { rows: Number(count![0]), columns: [...types.keys()] }
}

function checkColumns(types: ReadonlyMap<string, string>, set: TrainingSet): void {
  if (types.size > COLUMNS_MAX) {
    throw new WrongSpine(`The spine has ${types.size} columns; at most ${COLUMNS_MAX} are taken.`)
  }
  const keys = Object.values(set.entities).flatMap(fields => fields.map(({ name }) => name))
  const needed = ['t', ...new Set(keys), ...Object.keys(set.service.request)]
  const missing = needed.filter(name => !types.has(name))
  if (missing.length === 0) return
  const known = [...types.keys()].slice(0, 50).join(', ')
  throw new WrongSpine(`The spine has no column ${missing.join(', ')}; it has ${known}.`)
}

function timeSql(type: string): string {
  if (/^(TINYINT|SMALLINT|INTEGER|BIGINT|UBIGINT|UINTEGER)$/.test(type)) return 't::bigint'
  if (type === 'TIMESTAMP WITH TIME ZONE') return 'epoch_us(t)'
  // Without a zone a time is in UTC, as everywhere here.
  if (/^(TIMESTAMP|DATE)/.test(type)) return 'epoch_us(t::timestamp)'
  if (type === 'VARCHAR') return 'epoch_us(t::timestamptz)'
  throw new WrongSpine(
    `"t" is of the type ${type}; a time is a timestamp, whole microseconds, or text such as 2026-01-31T12:00:00Z.`,
  )
}

/** The text by which the log knows the entity: a part alone, or a JSON array of several. */
function keySql(fields: readonly KeyField[], types: ReadonlyMap<string, string>): string {
  const parts = fields.map(field => partSql(field, types.get(field.name)!))
  if (parts.length === 1) return parts[0]!
  // Null where a part is: `||` is null then.
  return `'[' || ${parts.map(jsonSql).join(` || ',' || `)} || ']'`
}

function partSql({ name, type }: KeyField, given: string): string {
  const column = quoted(name)
  switch (type) {
    case 'string':
      return `${column}::varchar`
    case 'int':
      return `${column}::bigint::varchar`
    case 'bool':
      return `${column}::boolean::varchar`
    case 'time':
      return `${given.startsWith('TIMESTAMP') ? `epoch_us(${column})` : `${column}::bigint`}::varchar`
    default:
      throw new WrongSpine(
        `"${name}" is a key of the type ${type}, which training sets do not join by: use a string or an int.`,
      )
  }
}

/** A text as JSON, byte for byte as JavaScript writes it. */
function jsonSql(sql: string): string {
  const quotes = `replace(replace(${sql}, '\\', '\\\\'), '"', '\\"')`
  const escaped = CONTROLS.reduce((text, code) => {
    const written = JSON.stringify(String.fromCharCode(code)).slice(1, -1)
    return `replace(${text}, chr(${code}), '${written}')`
  }, quotes)
  const hasControls = `regexp_matches(${sql}, '[\\x01-\\x1f]')`
  return `('"' || if(${hasControls}, ${escaped}, ${quotes}) || '"')`
}
