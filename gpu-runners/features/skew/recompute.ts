/** Reads of the past, by the SQL that makes training sets. */
import { sqlText } from '#core/sql-text.ts'
import type { Database } from '../database.ts'
import type { Check, Recomputed } from '../messages.ts'
import { askSql } from '../proof/questions.ts'

export async function recompute(database: Database, checks: readonly Check[]): Promise<Recomputed> {
  const answers: Recomputed['answers'] = []
  for (const { view, log, reads } of checks) {
    const listed = [...new Set(reads.map(({ key }) => sqlText(key)))]
    await database.run(`create or replace table checked as select * from ${log}
      where entity = '${view.entity}' and entity_key in (${listed.join(', ')})`)
    const found = await askSql(database, view, 'checked', reads)
    for (const [i, { id }] of reads.entries()) answers.push([id, found[i]!])
  }
  return { answers }
}
