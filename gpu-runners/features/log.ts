/**
 * The log, cut by entity into parts that fit into memory: only the entities that are asked about, each
 * event with the number of its key, written once and read once.
 */

import { namesOf, parseExpression } from '#core/features/expression.ts'
import { fieldColumn } from '#core/features/sql.ts'
import type { ViewPlan } from '#schemas/feature.ts'
import type { Database } from './database.ts'

/** Of a part: what it costs to have it sorted in memory. */
const EVENTS_PER_PART = 500_000
const QUESTIONS_PER_PART = 50_000
const PARTS_MAX = 512

/** Questions and events of one entity and event type, in parts. */
export type Cut = {
  entity: number
  folder: string
  parts: number
  views: ViewPlan[]
  /** A relation of the same columns without a row. */
  empty: string
}

/** `views`: of one entity (the i-th) and one event type, whose log this is. */
export async function cutLog(
  database: Database,
  o: { entity: number; name: string; log: string; views: ViewPlan[]; folder: string },
): Promise<Cut> {
  const { entity, folder, views } = o
  const [[events, questions]] = (await database.rows<[bigint, bigint]>(`select
    (select count(*) from ${o.log} where entity = '${o.name}'),
    (select sum(questions) from keys${entity})`)) as [[bigint, bigint | null]]
  const needed = Math.max(
    Number(events) / EVENTS_PER_PART,
    Number(questions ?? 0n) / QUESTIONS_PER_PART,
  )
  const parts = Math.min(PARTS_MAX, Math.max(1, Math.ceil(needed)))
  const fields = [...new Set(views.flatMap(fieldsOf))].map(name => `, ${fieldColumn(name)}`)
  const keyed = `select k.key as entity_key, event_time, known_at, seq, retracted_at
      ${fields.join('')}, k.key % ${parts} as part
    from ${o.log} as l join keys${entity} as k on k.text = l.entity_key where l.entity = '${o.name}'`
  await database.run(
    `copy (${keyed}) to '${folder}' (format parquet, partition_by (part), compression snappy)`,
  )
  return {
    entity,
    folder,
    parts,
    views,
    empty: `(select * exclude (part) from (${keyed}) limit 0)`,
  }
}

/** Makes `part_log` and `part_spine`, in the order of entities and time: what is joined lies together. */
export async function openPart(database: Database, cut: Cut, part: number): Promise<void> {
  const { entity, parts, folder, views, empty } = cut
  const key = `k${entity}`
  // Who names no entity is asked about with the first: there are no events to be seen.
  const isOfPart = `${key} % ${parts} = ${part}${part === 0 ? ` or ${key} is null` : ''}`
  await database.run(`create or replace table part_spine as
    select row_number() over (order by ${key}, t, row) - 1 as row, row as number, t, ${key} as entity_key
    from questions where ${isOfPart} order by ${key}, t, questions.row`)
  const files = `${folder}/part=${part}/*.parquet`
  const [[count]] = (await database.rows<[bigint]>(`select count(*) from glob('${files}')`)) as [
    [bigint],
  ]
  const source = count > 0n ? `read_parquet('${files}', hive_partitioning = false)` : empty
  await database.run(`create or replace table part_log as select '${views[0]!.entity}' as entity, *
    from ${source} order by entity_key, event_time`)
}

/** All that a view looks at. */
function fieldsOf({ filter, fields, features }: ViewPlan): string[] {
  const filtered = filter === null ? [] : namesOf(parseExpression(filter, fields))
  return [...filtered, ...features.flatMap(({ of }) => of ?? [])]
}
