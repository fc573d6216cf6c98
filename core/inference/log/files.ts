/** What sealing needs of a place that can write Parquet. */
import type { inferenceLog } from '#schemas/tables/inference-log.ts'

export type Row = typeof inferenceLog.$inferSelect
/** The columns of a file, in its order, with their types in DuckDB. `docs/design/inference-log.md` tells of them. */
export const COLUMNS = {
  id: 'VARCHAR',
  model: 'VARCHAR',
  version: 'INTEGER',
  digest: 'VARCHAR',
  answered_at: 'TIMESTAMP',
  key_id: 'VARCHAR',
  receipt: 'VARCHAR',
  features: 'VARCHAR',
  subject_entity: 'VARCHAR',
  subject: 'VARCHAR',
  rows: 'INTEGER',
  inputs: 'VARCHAR',
  outputs: 'VARCHAR',
}
export type FileRow = Record<keyof typeof COLUMNS, string | number | null>

export type InferenceFile = {
  sha256: string
  bytes: number
  rows: number
  content(): AsyncIterable<Uint8Array>
}
export type Subject = { entity: string; entityKey: string }
export type InferenceFiles = {
  /** Rows wait on disk; `close` removes all that was written. */
  open(): Promise<{
    add(rows: readonly FileRow[]): Promise<void>
    sealed(): Promise<InferenceFile>
    /** The rows of a file (a local path) that are not about the subject; null: all of them. */
    without(path: string, who: Subject): Promise<InferenceFile | null>
    close(): Promise<void>
  }>
}

export function fileRow(row: Row): FileRow {
  return {
    id: row.id,
    model: row.model,
    version: row.version,
    digest: row.digest,
    answered_at: row.at.toISOString().replace('Z', ''),
    key_id: row.keyId,
    receipt: row.receipt,
    features: row.features,
    subject_entity: row.subjectEntity,
    subject: row.subject,
    rows: row.rows,
    inputs: row.inputs,
    outputs: row.outputs,
  }
}
