/** Answers to the questions of one part: what the SQL found, finished by what finishes it everywhere. */
import {
  BIGINT,
  type DuckDBDataChunk,
  type DuckDBResult,
  type DuckDBType,
  DuckDBTypeId,
  type DuckDBValue,
  JSDuckDBValueConverter,
  VARCHAR,
} from '@duckdb/node-api'
import { finalize } from '#core/features/finalize.ts'
import { type Knowledge, type ViewQuery, viewQuery } from '#core/features/sql.ts'
import type { FeaturePlan, FeatureValue, Status, ViewPlan } from '#schemas/feature.ts'
import { type Column, held, store, waiting } from './columns.ts'
import type { Database } from './database.ts'

/** A feature whose values are wanted, and the columns in which they wait. */
export type Wanted = { view: ViewPlan; feature: FeaturePlan; column: Column; status: string | null }

/** Features that look at the same events, of one view or of several, as one view; in the order of `wanted`. */
export type Question = { plan: ViewPlan; wanted: Wanted[] }

/** What DuckDB found for the questions of a part; its columns are read later. */
export type Asked = {
  numbers: bigint[]
  answers: { question: Question; query: ViewQuery; result: DuckDBResult }[]
}

/** `wanted`: of one entity and event type. What nobody wants of a view is not computed. */
export function questionsOf(wanted: readonly Wanted[]): Question[] {
  const same = Map.groupBy(wanted, ({ view }) => `${view.latenessMax} ${view.filter}`)
  return [...same.values()].map(some => {
    const features = some.map(({ feature }) => feature)
    const fields = Object.assign({}, ...some.map(({ view }) => view.fields))
    return { plan: { ...some[0]!.view, fields, features }, wanted: some }
  })
}

/** Asks the open part. */
export async function askPart(
  database: Database,
  questions: readonly Question[],
  knowledge: Knowledge,
): Promise<Asked> {
  const asked: Asked = {
    numbers: (await database.rows<[bigint]>('select number from part_spine order by row')).flat(),
    answers: [],
  }
  for (const question of questions) {
    const query = viewQuery(question.plan, { log: 'part_log', spine: 'part_spine', knowledge })
    const result = await database.connection.run(query.sql)
    asked.answers.push({ question, query, result })
  }
  return asked
}

/** Fills `table` with a row per question: its `number`, and the values wanted. */
export async function storeAnswers(
  database: Database,
  { numbers, answers }: Asked,
  table: string,
): Promise<void> {
  const columns = [{ name: 'number', type: BIGINT as DuckDBType }]
  const values: DuckDBValue[][] = [numbers]
  for (const { question, query, result } of answers) {
    const found = await finished(question.plan.features, query, result)
    for (const [i, { column, status }] of question.wanted.entries()) {
      columns.push({ name: column.name, type: waiting(column) })
      values.push(found.values[i]!.map(value => held(column, value)))
      if (status === null) continue
      columns.push({ name: status, type: VARCHAR })
      values.push(found.statuses[i]!)
    }
  }
  await store(database, table, columns, values)
}

async function finished(
  features: readonly FeaturePlan[],
  query: ViewQuery,
  result: DuckDBResult,
): Promise<{ values: FeatureValue[][]; statuses: Status[][] }> {
  const values = features.map((): FeatureValue[] => [])
  const statuses = features.map((): Status[] => [])
  for (;;) {
    const chunk = await result.fetchChunk()
    if (!chunk || chunk.rowCount === 0) return { values, statuses }
    const rows = chunk.rowCount
    const columns = Array.from({ length: chunk.columnCount - 1 }, (_, i) => columnOf(chunk, i + 1))
    for (let row = 0; row < rows; row++) {
      const irs = query.read(columns.map(column => column[row]))
      for (const [i, feature] of features.entries()) {
        const { value, status } = finalize(feature, irs[i]!)
        values[i]!.push(value)
        statuses[i]!.push(status)
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
