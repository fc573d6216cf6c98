/** Questions by SQL, as training sets ask them. */
import { BIGINT, VARCHAR } from '@duckdb/node-api'
import { finalize } from '#core/features/finalize.ts'
import { viewQuery } from '#core/features/sql.ts'
import type { ViewPlan } from '#schemas/feature.ts'
import { store } from '../columns.ts'
import type { Database } from '../database.ts'
import type { Answer } from '../messages.ts'

export type Question = { key: string; at: number }

/** Of each question, in order, the answers of the view's features. */
export async function askSql(
  database: Database,
  view: ViewPlan,
  log: string,
  questions: readonly Question[],
): Promise<Answer[][]> {
  if (questions.length === 0) return []
  await database.run('drop table if exists proof_spine')
  const columns = [
    { name: 'row', type: BIGINT },
    { name: 'entity_key', type: VARCHAR },
    { name: 't', type: BIGINT },
  ]
  await store(database, 'proof_spine', columns, [
    questions.map((_, i) => BigInt(i)),
    questions.map(({ key }) => key),
    questions.map(({ at }) => BigInt(at)),
  ])
  const knowledge = { mode: 'as_served' as const, asOf: null }
  const query = viewQuery(view, { log, spine: 'proof_spine', knowledge })
  const rows = await database.rows<unknown[]>(query.sql)
  return rows.map(([, ...values]) =>
    query.read(values).map((ir, i) => finalize(view.features[i]!, ir)),
  )
}
