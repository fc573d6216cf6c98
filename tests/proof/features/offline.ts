/** The same questions by SQL, over the log that the object's positions make. */
import { type DuckDBConnection, DuckDBInstance } from '@duckdb/node-api'
import { finalize } from '#core/features/finalize.ts'
import { fieldColumn, type Knowledge, viewQuery } from '#core/features/sql.ts'
import type { Value } from '#schemas/event.ts'
import type { ViewPlan } from '#schemas/feature.ts'
import { EVENT_TYPE } from './cases.ts'
import type { Answer, Fact } from './oracle.ts'
import type { Played } from './run.ts'

const TYPES = {
  int: 'bigint',
  decimal: 'bigint',
  time: 'bigint',
  float: 'double',
  string: 'varchar',
  bool: 'boolean',
}

export type Question = { entityKey: string; t: number }
export type Offline = {
  load(played: Played): Promise<void>
  ask(view: ViewPlan, questions: readonly Question[], knowledge: Knowledge): Promise<Answer[][]>
  close(): void
}

export async function openOffline(): Promise<Offline> {
  const connection = await (await DuckDBInstance.create(':memory:', { threads: '1' })).connect()
  const fields = Object.entries(EVENT_TYPE.fields)
  const columns = fields.map(([name, { type }]) => `${fieldColumn(name)} ${TYPES[type]}`)
  await connection.run(`create table log (entity varchar, entity_key varchar, event_time bigint,
    known_at bigint, seq bigint, retracted_at bigint, ${columns.join(', ')})`)
  await connection.run('create table spine (row bigint, entity_key varchar, t bigint)')
  return {
    async load(played) {
      await connection.run('delete from log')
      const rows = factsOf(played).map(({ entity, entityKey, fact }) => [
        entity,
        entityKey,
        fact.eventTime,
        fact.knownAt,
        fact.seq,
        fact.retractions.length > 0 ? Math.min(...fact.retractions) : null,
        ...fields.map(([name]) => fact.data[name] ?? null),
      ])
      await insert(connection, 'log', rows)
    },
    async ask(view, questions, knowledge) {
      await connection.run('delete from spine')
      await insert(
        connection,
        'spine',
        questions.map(({ entityKey, t }, i) => [i, entityKey, t]),
      )
      const query = viewQuery(view, { log: 'log', spine: 'spine', knowledge })
      const rows = (await connection.runAndReadAll(query.sql)).getRowsJS()
      if (rows.length !== questions.length)
        throw new Error(`${rows.length} rows for ${questions.length}`)
      return rows.map(([, ...values]) =>
        query.read(values).map((ir, i) => finalize(view.features[i]!, ir) as Answer),
      )
    },
    close: () => connection.closeSync(),
  }
}

/** Events with their places, and the retractions of each at the same entity. */
export function factsOf({ positions }: Played) {
  const retractions = new Map<string, number[]>()
  const placeOf = (key: string, entity: string, entityKey: string) =>
    `${key} ${entity} ${entityKey}`
  for (const { position, event } of positions) {
    if (event.retracts === null) continue
    const place = placeOf(event.retracts, position.entity, position.entityKey)
    retractions.set(place, [...(retractions.get(place) ?? []), position.knownAt])
  }
  return positions
    .filter(({ event }) => event.retracts === null)
    .map(({ position, event }) => {
      const { entity, entityKey, knownAt, seq } = position
      const place = placeOf(event.key, entity, entityKey)
      const fact: Fact = {
        eventTime: event.eventTime,
        knownAt,
        seq,
        retractions: retractions.get(place) ?? [],
        data: event.data,
      }
      return { entity, entityKey, fact }
    })
}

async function insert(connection: DuckDBConnection, table: string, rows: Value[][]): Promise<void> {
  if (rows.length === 0) return
  const values = rows.map(row => `(${row.map(literal).join(', ')})`)
  await connection.run(`insert into ${table} values ${values.join(', ')}`)
}

function literal(value: Value): string {
  if (typeof value === 'string') return `'${value.replaceAll("'", "''")}'`
  if (typeof value === 'number' && !Number.isInteger(value)) return `'${value}'::double`
  return String(value)
}
