/** Answers to the questions of one part: what the SQL found, finished by what finishes it everywhere. */
import {
  BIGINT,
  type DuckDBDataChunk,
  type DuckDBResult,
  DuckDBTypeId,
  type DuckDBValue,
  JSDuckDBValueConverter,
  VARCHAR,
} from '@duckdb/node-api'
import { finalize } from '#core/features/finalize.ts'
import { type Knowledge, type ViewQuery, viewQuery } from '#core/features/sql.ts'
import type { FeatureValue, Status, ViewPlan } from '#schemas/feature.ts'
import { type Column, held, store, waiting } from './columns.ts'
import type { Database } from './database.ts'

/** A feature whose values are wanted, and the columns in which they wait. */
export type Wanted = { view: ViewPlan; feature: number; column: Column; status: string | null }

/** What DuckDB found for the questions of a part, by view; its columns are read later. */
export type Asked = {
  numbers: bigint[]
  views: Map<ViewPlan, { query: ViewQuery; result: DuckDBResult }>
}

type Found = { values: FeatureValue[][]; statuses: Status[][] }

/** Asks the open part. */
export async function askPart(
  database: Database,
  views: readonly ViewPlan[],
  knowledge: Knowledge,
): Promise<Asked> {
  const asked: Asked = {
    numbers: (await database.rows<[bigint]>('select number from part_spine order by row')).flat(),
    views: new Map(),
  }
  for (const view of views) {
    const query = viewQuery(view, { log: 'part_log', spine: 'part_spine', knowledge })
    asked.views.set(view, { query, result: await database.connection.run(query.sql) })
  }
  return asked
}

/** Fills `table` with a row per question: its `number`, and the values wanted. */
export async function storeAnswers(
  database: Database,
  asked: Asked,
  { table, wanted }: { table: string; wanted: readonly Wanted[] },
): Promise<void> {
  const found = new Map<ViewPlan, Found>()
  for (const [view, { query, result }] of asked.views) {
    found.set(view, await finished(view, query, result))
  }
  const columns = wanted.flatMap(({ column, status }) => [
    { name: column.name, type: waiting(column) },
    ...(status === null ? [] : [{ name: status, type: VARCHAR }]),
  ])
  const values = wanted.flatMap(({ view, feature, column, status }): DuckDBValue[][] => {
    const { values, statuses } = found.get(view)!
    const own = values[feature]!.map(value => held(column, value))
    return status === null ? [own] : [own, statuses[feature]!]
  })
  const all = [{ name: 'number', type: BIGINT }, ...columns]
  await store(database, table, all, [asked.numbers, ...values])
}

async function finished(view: ViewPlan, query: ViewQuery, result: DuckDBResult): Promise<Found> {
  const { features } = view
  const found: Found = { values: features.map(() => []), statuses: features.map(() => []) }
  for (;;) {
    const chunk = await result.fetchChunk()
    if (!chunk || chunk.rowCount === 0) return found
    const rows = chunk.rowCount
    const columns = Array.from({ length: chunk.columnCount - 1 }, (_, i) => columnOf(chunk, i + 1))
    for (let row = 0; row < rows; row++) {
      const irs = query.read(columns.map(column => column[row]))
      for (const [i, feature] of features.entries()) {
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
