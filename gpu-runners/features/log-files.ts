/** The log of a type as it was at a moment, in files for DuckDB: sealed segments as they lie, the rest in pages. */
import { createHash } from 'node:crypto'
import { appendFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Blobs } from '#core/deps.ts'
import { AppError } from '#core/error.ts'
import type { ExportPage } from '#core/events/events.ts'
import { logRelation } from '#core/events/sealing/segment.ts'
import type { TenantId } from '#schemas/ids.ts'
import type { TrainingSetLineage } from '#schemas/tables/jobs.ts'
import type { Control } from '../control.ts'

export type LogDeps = { blobs: Blobs; control: Pick<Control, 'insist'> }
type Wanted = {
  tenantId: TenantId
  type: string
  asOf: number
  to: number
  folder: string
  /** Of the files' names. */
  prefix: string
}

/** Events that were taken just before get their places in moments; those whose objects are away, later. */
const PLACED_WAIT_MS_MAX = 120_000
const PLACED_STEP_MS = 250

/** The log of one event type: a relation over the files, which are to be linked by name. */
export type TypeLog = {
  sql: string
  files: Record<string, string>
  read: TrainingSetLineage[string]
}

/** What was known at `asOf` (microseconds) of events up to the number `to`. */
export async function logOf(
  deps: LogDeps,
  { tenantId, folder, prefix, ...query }: Wanted,
  signal: AbortSignal,
): Promise<TypeLog> {
  const ask = (after: string | null) =>
    deps.control.insist<ExportPage>(
      '/internal/events/export',
      { tenantId, ...query, after },
      signal,
    )
  const first = await placed(() => ask(null), signal)
  const files: Record<string, string> = {}
  const segments = await segmentFiles(deps, first, prefix, files, signal)
  const rows = `${prefix}.jsonl`
  const path = join(folder, rows)
  await writeFile(path, '')
  let openRows = 0
  for (let page = first; ; page = await ask(page.next)) {
    await appendFile(path, page.rows.map(row => `${JSON.stringify(row)}\n`).join(''))
    openRows += page.rows.length
    if (page.next === null) break
  }
  files[rows] = path
  return {
    sql: logRelation(first.type, { segments, rows: [rows], to: query.to }),
    files,
    read: {
      version: first.type.version,
      segments: segments.length,
      segmentsSha256: digestOf(first.segments.map(({ sha256 }) => sha256)),
      openRows,
    },
  }
}

async function segmentFiles(
  { blobs }: LogDeps,
  { segments }: ExportPage,
  prefix: string,
  files: Record<string, string>,
  signal: AbortSignal,
): Promise<string[]> {
  const names: string[] = []
  for (const [i, { blob }] of segments.entries()) {
    signal.throwIfAborted()
    const name = `${prefix}-${i}.parquet`
    files[name] = await blobs.localFile(blob).catch(replacedMeanwhile)
    names.push(name)
  }
  return names
}

/** An erasure or a longer segment took its place since it was listed: the list of the next try has that. */
function replacedMeanwhile(error: unknown): never {
  if (!(error instanceof AppError) || error.code !== 'not_found') throw error
  const internal = 'a segment was replaced while it was fetched'
  throw new AppError('unavailable', { internal, retryable: true, cause: error })
}

/** All that the set may see has its place in the log. */
async function placed(ask: () => Promise<ExportPage>, signal: AbortSignal): Promise<ExportPage> {
  for (let waitedMs = 0; ; waitedMs += PLACED_STEP_MS) {
    const page = await ask()
    if (!page.waits) return page
    if (waitedMs >= PLACED_WAIT_MS_MAX) {
      const internal = 'events of the log have had no place for a long time'
      throw new AppError('unavailable', { internal, retryable: true })
    }
    await sleep(PLACED_STEP_MS, undefined, { signal })
  }
}

function digestOf(digests: readonly string[]): string {
  const hash = createHash('sha256')
  for (const digest of digests.toSorted()) hash.update(`${digest}\n`)
  return hash.digest('hex')
}
