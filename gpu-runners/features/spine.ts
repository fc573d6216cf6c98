/**
 * The spine as questions: each row with its number, its time in microseconds, and for each entity the
 * number of its key, which is what the log is joined by.
 */
import type { ValueType } from '#schemas/feature.ts'
import { type Database, quoted } from './database.ts'
import { type Key, keyChecks, keySql } from './keys.ts'
import { TIME, type TrainingSet, WrongSpine } from './messages.ts'
import { spineSource } from './spine-file.ts'

/** A spine as wide as that is no spine. */
const COLUMNS_MAX = 2_000
/** Before it, in 1973, a count of microseconds is more likely one of seconds or milliseconds. */
const MICROS_MIN = 100_000_000_000_000

export type Spine = { rows: number; columns: string[] }
/** A column in which each value is to be as `sql` wants it, which is null where it is not. */
export type Check = { column: string; sql: string; wanted: string }

/** Makes `spine` (all that was given, with `_row`), `questions` (row, t, k<i>) and `keys<i>` per entity. */
export async function readSpine(database: Database, set: TrainingSet): Promise<Spine> {
  const source = await spineSource(database, set.spine)
  const described = await database.rows<[string, string]>(`describe select * from ${source}`)
  const types = new Map(described.map(([name, type]) => [name, type]))
  const keys = checkColumns(types, set)
  await database.run(
    `create table spine as select (row_number() over ()) - 1 as "_row", * from ${source}`,
  )
  const time = timeSql(types.get(TIME)!)
  await checkValues(database, [
    { column: TIME, sql: time.sql, wanted: time.wanted },
    ...keys.flatMap(key => keyChecks(key, types)),
    ...requestChecks(set),
  ])
  const texts = keys.map((key, i) => `, ${keySql(key, types)} as text${i}`)
  await database.run(
    `create table asked as select "_row" as row, ${time.sql} as t ${texts.join('')} from spine`,
  )
  const [first] = await database.rows<[bigint]>(
    'select row from asked where t is null order by row limit 1',
  )
  if (first) throw wrongAt(first[0], TIME, `it is empty, and should be ${time.wanted}`)
  await numberKeys(database, keys.length)
  const [count] = await database.rows<[bigint]>('select count(*) from spine')
  return { rows: Number(count![0]), columns: [...types.keys()] }
}

async function numberKeys(database: Database, entities: number): Promise<void> {
  const each = Array.from({ length: entities }, (_, i) => i)
  for (const i of each) {
    await database.run(`create table keys${i} as
      select text, row_number() over () - 1 as key, count(*) as questions
      from (select text${i} as text from asked where text is not null) group by text`)
  }
  const joins = each.map(i => `left join keys${i} on keys${i}.text = asked.text${i}`)
  await database.run(`create table questions as
    select asked.row, asked.t ${each.map(i => `, keys${i}.key as k${i}`).join('')}
    from asked ${joins.join(' ')}`)
  await database.run('drop table asked')
}

/** The columns of each entity's key. */
function checkColumns(types: ReadonlyMap<string, string>, set: TrainingSet): Key[] {
  if (types.size > COLUMNS_MAX) {
    throw new WrongSpine(`The spine has ${types.size} columns; at most ${COLUMNS_MAX} are taken.`)
  }
  const known = [...types.keys()].slice(0, 50).join(', ')
  const missing = [TIME, ...Object.keys(set.service.request)].filter(name => !types.has(name))
  if (missing.length > 0) {
    throw new WrongSpine(`The spine has no column ${missing.join(', ')}; it has ${known}.`)
  }
  if (types.has('_row'))
    throw new WrongSpine('The spine has a column "_row", which is taken: rename it.')
  return Object.entries(set.entities).map(([entity, ways]) => {
    const found = ways.find(fields => fields.every(({ name }) => types.has(name)))
    if (found) return found
    const wanted = ways.map(fields => fields.map(({ name }) => name).join(' and '))
    throw new WrongSpine(
      `The spine has no column for the key of "${entity}": it needs ${wanted.join(', or ')}; it has ${known}.`,
    )
  })
}

async function checkValues(database: Database, checks: readonly Check[]): Promise<void> {
  for (const { column, sql, wanted } of checks) {
    const name = quoted(column)
    const [wrong] = await database.rows<
      [bigint, string]
    >(`select "_row", ${name}::varchar from spine
      where ${name} is not null and (${sql}) is null order by "_row" limit 1`)
    if (!wrong) continue
    const given = wrong[1].length > 60 ? `${wrong[1].slice(0, 60)}…` : wrong[1]
    throw wrongAt(wrong[0], column, `"${given}" is not ${wanted}`)
  }
}

function wrongAt(row: bigint, column: string, says: string): WrongSpine {
  return new WrongSpine(`Row ${row} (from 0), column "${column}": ${says}.`)
}

function timeSql(type: string): { sql: string; wanted: string } {
  const column = quoted(TIME)
  const wanted = 'a time such as 2026-01-31T12:00:00Z'
  if (/^(TINYINT|SMALLINT|INTEGER|BIGINT|UBIGINT|UINTEGER)$/.test(type)) {
    const micros = `try_cast(${column} as bigint)`
    return {
      sql: `if(${micros} >= ${MICROS_MIN}, ${micros}, null)`,
      wanted: 'a time in whole microseconds since 1970, such as 1769860800000000',
    }
  }
  if (type === 'TIMESTAMP WITH TIME ZONE') return { sql: `epoch_us(${column})`, wanted }
  // Without a zone a time is in UTC, as everywhere here.
  if (/^(TIMESTAMP|DATE)/.test(type)) return { sql: `epoch_us(${column}::timestamp)`, wanted }
  if (type === 'VARCHAR') return { sql: `epoch_us(try_cast(${column} as timestamptz))`, wanted }
  throw new WrongSpine(
    `Column "${TIME}" is of the type ${type}; a time is a timestamp, whole microseconds, or a text such as 2026-01-31T12:00:00Z.`,
  )
}

/** Fields of requests whose form the engine itself must read; the others are read as texts. */
function requestChecks({ service }: TrainingSet): Check[] {
  const wanted: Partial<Record<ValueType['type'], [sql: string, wanted: string]>> = {
    float: ['double', 'a number'],
    bool: ['boolean', 'true or false'],
    time: ['timestamptz', 'a time such as 2026-01-31T12:00:00Z'],
  }
  return Object.entries(service.request).flatMap(([column, { type }]) => {
    const known = wanted[type]
    if (!known) return []
    return [{ column, sql: `try_cast(${quoted(column)} as ${known[0]})`, wanted: known[1] }]
  })
}
