/** From a mismatch to the few events of its entity that still make it (delta debugging: Zeller, 2002). */

import type { Row } from '#core/features/online/view.ts'
import { sqlText } from '#core/sql-text.ts'
import type { ViewPlan } from '#schemas/feature.ts'
import type { Database } from '../database.ts'
import type { Mismatch } from '../messages.ts'
import { differences, type Kernel } from './prove.ts'
import { askSql, type Question } from './questions.ts'

/** Each is a query; what is left after them is small enough to be read. */
const TRIES_MAX = 400

type About = { view: ViewPlan; question: Question; feature: number; events: readonly Row[] }

export async function shrunk(
  database: Database,
  { view, question, feature, events }: About,
  kernel: Kernel,
): Promise<Mismatch> {
  const { key, at } = question
  const answersOf = async (rows: readonly Row[]) => {
    const seqs = rows.map(({ seq }) => seq).join(', ') || 'null'
    const log = `(select * from proof_log where entity_key = ${sqlText(key)} and seq in (${seqs}))`
    const [sql] = await askSql(database, view, log, [question])
    return { sql: sql!, object: kernel(rows, at) }
  }
  const isWrong = async (rows: readonly Row[]) => {
    const { sql, object } = await answersOf(rows)
    return differences(view, sql, object).includes(feature)
  }
  let left = events.filter(({ eventTime, knownAt }) => eventTime < at || knownAt <= at)
  if (!(await isWrong(left))) left = [...events]
  let tries = 0
  for (let size = left.length >> 1; size >= 1; size >>= 1) {
    for (let from = 0; from < left.length && tries < TRIES_MAX; tries++) {
      const without = left.toSpliced(from, size)
      if (await isWrong(without)) left = without
      else from += size
    }
  }
  const { sql, object } = await answersOf(left)
  return {
    entity: view.entity,
    entity_key: key,
    at,
    feature: view.features[feature]!.name,
    sql: sql[feature]!,
    object: { value: object.values[feature]!, status: object.statuses[feature]! },
    events: left.map(({ eventTime, knownAt, seq, retractedAt, data }) => ({
      event_time: eventTime,
      known_at: knownAt,
      seq,
      retracted_at: retractedAt,
      data,
    })),
  }
}
