/** Answers to the questions of one part: what the SQL found, finished by what finishes it everywhere. */
import {
  BIGINT,
  type DuckDBDataChunk,
  DuckDBTypeId,
  type DuckDBValue,
  JSDuckDBValueConverter,
  VARCHAR,
} from '@duckdb/node-api'
import { finalize } from '#core/features/finalize.ts'
import { type Knowledge, viewQuery } from '#core/features/sql.ts'
import type { FeatureValue, Status, ViewPlan } from '#schemas/feature.ts'
import { type Column, held, store, waiting } from './columns.ts'
import type { Database } from './database.ts'

/** A feature whose values are wanted, and the columns in which they wait. */
export type Wanted = { view: ViewPlan; feature: number; column: Column; status: string | null }

type Found = { values: FeatureValue[][]; statuses: Status[][] }

/** Fills `table` with a row per question of the open part: its `number`, and the values wanted. */
export async function answerPart(
  database: Database,
  o: { table: string; wanted: readonly Wanted[]; knowledge: Knowledge },
): Promise<void> {
  const { wanted } = o
  const views = [...new Set(wanted.map(({ view }) => view))]
  const found = new Map<ViewPlan, Found>()
  for (const view of views) found.set(view, await answers(database, view, o.knowledge))
  const columns = wanted.flatMap(({ column, status }) => [
    { name: column.name, type: waiting(column) },
    ...(status === null ? [] : [{ name: status, type: VARCHAR }]),
  ])
  const values = wanted.flatMap(({ view, feature, column, status }): DuckDBValue[][] => {
    const { values, statuses } = found.get(view)!
    const own = values[feature]!.map(value => held(column, value))
    return status === null ? [own] : [own, statuses[feature]!]
  })
  const at = (await database.rows<[bigint]>('select number from part_spine order by row')).flat()
  await store(database, o.table, [{ name: 'number', type: BIGINT }, ...columns], [at, ...values])
}

async function answers(database: Database, view: ViewPlan, knowledge: Knowledge): Promise<Found> {
  const query = viewQuery(view, { log: 'part_log', spine: 'part_spine', knowledge })
  const found: Found = {
    values: view.features.map(() => []),
    statuses: view.features.map(() => []),
  }
  const result = await database.connection.run(query.sql)
  for (;;) {
    const chunk = await result.fetchChunk()
    if (!chunk || chunk.rowCount === 0) return found
    const columns = Array.from({ length: chunk.columnCount - 1 }, (_, i) => columnOf(chunk, i + 1))
    for (let row = 0; row < chunk.rowCount; row++) {
      const irs = query.read(columns.map(column => column[row]))
      for (const [i, feature] of view.features.entries()) {
        const { value, status } = finalize(feature, irs[i]!)
        found.values[i]!.push(value)
        found.statuses[i]!.push(status)
      }
    }
  }
}

/** Lists and structures as those of JavaScript; everything else is so already. */
function columnOf(chunk: DuckDBDataChunk, index: number): readonly unknown[] {
  const { typeId } = chunk.getColumnVector(index).type
  return typeId === DuckDBTypeId.LIST
    ? chunk.convertColumnValues(index, JSDuckDBValueConverter)
    : chunk.getColumnValues(index)
}
