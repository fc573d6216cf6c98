/** The log as its readers get it, from segments and what is not sealed, and as the database has it. */
import { createHash } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DuckDBInstance } from '@duckdb/node-api'
import type pg from 'pg'
import { afterAll } from 'vitest'
import type { Blobs, Database } from '#core/deps.ts'
import * as events from '#core/events/events.ts'
import { folderBlobs } from '#platform/blob/folder.ts'
import type { TenantId } from '#schemas/ids.ts'
import { inTenant } from '#tests/caller.ts'

export const HOUR = 3_600_000

/** Blobs in a folder of the test's own. */
export function blobsOfTest(): Blobs & { root: string } {
  const root = mkdtempSync(join(tmpdir(), 'galley-sealed-'))
  afterAll(() => rmSync(root, { recursive: true, force: true }))
  return { ...folderBlobs({ root }), root }
}

/** What tells one row of the log from the others. */
type Told = { number: unknown; key: string; entity: unknown; partition: unknown; seq: unknown }
const toldOf = ({ number, key, entity, partition, seq }: Told) =>
  [number, key.replaceAll('-', ''), entity, partition, seq].join(' ')

const connection = await (await DuckDBInstance.create(':memory:')).connect()

/** Rows of a segment, by names of its columns. */
export async function segmentRows(path: string): Promise<Record<string, unknown>[]> {
  const read = await connection.runAndReadAll(`select * from read_parquet('${path}')`)
  return read.getRowObjects()
}

/** Every row that a reader finds, sorted; throws when a file is not what the manifest says. */
export async function readLog(
  { db, blobs }: { db: Database; blobs: Blobs },
  tenantId: TenantId,
  type: string,
  pageEvents = 100,
): Promise<string[]> {
  const found: string[] = []
  for (let after: string | null = null; ; ) {
    const page = await inTenant({ db }, tenantId, unit =>
      events.exported(unit, { type, after }, pageEvents),
    )
    for (const { blob, sha256, bytes, rows } of page.segments) {
      const path = await blobs.localFile(blob)
      const content = readFileSync(path)
      const actual = createHash('sha256').update(content).digest('hex')
      if (actual !== sha256 || content.length !== bytes) throw new Error(`${blob} is another file`)
      const read = await segmentRows(path)
      if (read.length !== rows) throw new Error(`${blob} has ${read.length} rows, not ${rows}`)
      found.push(...read.map(row => toldOf(row as Told)))
    }
    found.push(...page.rows.map(toldOf))
    after = page.next
    if (after === null) return found.sort()
  }
}

/** What it should find: all that is in the tables, as long as nothing was dropped from them. */
export async function loggedRows(admin: pg.Pool, tenantId: TenantId): Promise<string[]> {
  const { rows } = await admin.query(
    `select e.number, e.key::text, p.entity, p.partition, p.seq
     from events e left join event_positions p on p.day = e.day and p.number = e.number
     where e.tenant_id = $1`,
    [tenantId],
  )
  return rows.map(row => toldOf(row)).sort()
}
