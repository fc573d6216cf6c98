/** Parquet files of the inference log, written by DuckDB in a folder that is gone afterwards. */
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { appendFile, mkdtemp, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { COLUMNS, type InferenceFile, type InferenceFiles } from '#core/inference/log/files.ts'
import { sqlText } from '#core/sql-text.ts'
import { type Analysis, openAnalysis } from './database.ts'

const FORMAT = '(format parquet, compression zstd)'
const TYPES = `{${Object.entries(COLUMNS).map(([name, type]) => `${name}: '${type}'`)}}`

/** `parent`: a folder that is there. */
export function inferenceFilesIn(parent: string): InferenceFiles {
  return {
    async open() {
      const folder = await mkdtemp(join(parent, 'galley-inferences-'))
      const lines = join(folder, 'rows.jsonl')
      const path = join(folder, 'segment.parquet')
      await appendFile(lines, '')
      let database: Analysis | null = null
      const analysis = async () => {
        database ??= await openAnalysis(folder)
        return database
      }
      const written = async (sql: string): Promise<InferenceFile> => {
        const db = await analysis()
        await db.run(`copy (${sql}) to ${sqlText(path)} ${FORMAT}`)
        return fileAt(db, path)
      }
      return {
        add: rows => appendFile(lines, rows.map(row => `${JSON.stringify(row)}\n`).join('')),
        sealed: () =>
          written(`select * from read_json(${sqlText(lines)}, format = 'newline_delimited',
            columns = ${TYPES}, maximum_object_size = 67108864) order by answered_at, id`),
        async without(from, { entity, entityKey }) {
          const db = await analysis()
          const its = `subject_entity is not distinct from ${sqlText(entity)}
            and subject is not distinct from ${sqlText(entityKey)}`
          const file = `read_parquet(${sqlText(from)})`
          const [found] = await db.rows<{ count: bigint }>(
            `select count(*) as count from ${file} where ${its}`,
          )
          return found!.count === 0n ? null : written(`select * from ${file} where not (${its})`)
        },
        async close() {
          database?.close()
          await rm(folder, { recursive: true, force: true })
        },
      }
    },
  }
}

async function fileAt(db: Analysis, path: string): Promise<InferenceFile> {
  const [counted] = await db.rows<{ rows: bigint }>(
    `select count(*) as rows from read_parquet(${sqlText(path)})`,
  )
  const { size } = await stat(path)
  const hash = createHash('sha256')
  const content = () => createReadStream(path)
  for await (const chunk of content()) hash.update(chunk)
  return { sha256: hash.digest('hex'), bytes: size, rows: Number(counted!.rows), content }
}
