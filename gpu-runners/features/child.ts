/**
 * The process that makes one training set, or one proof, with DuckDB: native code on files from strangers, so it has no
 * environment, bounded memory, and its end is nobody else's.
 */
import { openDatabase } from './database.ts'
import { makeTrainingSet } from './make.ts'
import {
  type Failed,
  type Made,
  type Progress,
  type Proven,
  type Recomputed,
  type Request,
  type RowsMade,
  WrongSpine,
} from './messages.ts'
import { prove } from './proof/prove.ts'
import { recompute } from './skew/recompute.ts'
import { writeRows } from './tables/rows.ts'

process.on('disconnect', () => process.exit(0))
// Ctrl-C reaches the whole process group; the runner decides when this ends.
process.on('SIGINT', () => {})
process.on('SIGTERM', () => {})
process.on('message', (request: Request) => {
  perform(request).then(
    made => process.send!(made),
    error => process.send!(failure(error)),
  )
})

async function perform({
  folder,
  limits,
  ...work
}: Request): Promise<Made | Proven | Recomputed | RowsMade> {
  process.chdir(folder)
  const began = performance.now()
  const database = await openDatabase(limits)
  const report = (progress: Progress) => process.send!({ progress })
  try {
    if (work.task === 'rows') return await writeRows(database, work)
    if (work.task === 'check') return await recompute(database, work.checks)
    const done =
      work.task === 'set'
        ? await makeTrainingSet(database, work, report)
        : await prove(database, work, report)
    return { ...done, spentUs: Math.round((performance.now() - began) * 1_000) }
  } finally {
    database.close()
  }
}

function failure(error: unknown): Failed {
  const text = error instanceof Error ? error.message : String(error)
  if (error instanceof WrongSpine) return { failed: 'data', text }
  const line = text.split('\n', 1)[0]!
  if (/no space left|max_temp_directory_size/i.test(line)) return { failed: 'disk', text: line }
  if (/^Out of Memory/i.test(line)) return { failed: 'memory', text: line }
  // A segment of the log that was replaced meanwhile; the spine is always there.
  if (/No such file|No files found/i.test(line)) return { failed: 'fault', text: line }
  // What a file of a stranger holds: no Parquet, a text where a number belongs.
  const isData = /^(Invalid Input|Conversion|IO|Binder|Out of Range) Error/i.test(line)
  return { failed: isData ? 'data' : 'fault', text: line }
}
