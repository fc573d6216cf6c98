/**
 * The step of a training set on a runner: the log as it was at the set's moment, in files; then the set;
 * then its bytes in a blob that is named by the lease's epoch. Whoever dies on the way leaves nothing that
 * counts, and whoever does it again makes the same bytes.
 */
import { createHash } from 'node:crypto'
import { appendFile, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import * as blobKeys from '#core/blob-keys.ts'
import type { Blobs, Log } from '#core/deps.ts'
import { AppError } from '#core/error.ts'
import type { ExportPage, ExportQuery } from '#core/events/events.ts'
import { logRelation } from '#core/events/sealing/segment.ts'
import type { sets } from '#core/training/training.ts'
import type { TrainingSetLineage } from '#schemas/tables/jobs.ts'
import type { Control } from '../control.ts'
import type { Progress } from './messages.ts'
import { withTrainingSet } from './training-set.ts'

export type SetDeps = {
  blobs: Blobs
  control: Pick<Control, 'insist'>
  log: Log
  /** A folder for temporary files. */
  scratch: string
}

/** Events that were taken just before get their places in moments; those whose objects are away, later. */
const PLACED_WAIT_MS_MAX = 120_000
const PLACED_STEP_MS = 250

/** The log of one event type. */
type TypeLog = { sql: string; files: Record<string, string>; lineage: TrainingSetLineage[string] }

/**
 * Does the step. Rejects with the signal's reason when aborted, and with an AppError otherwise: `invalid_body`
 * is the spine's fault.
 */
export async function makeSet(
  deps: SetDeps,
  assignment: sets.Assignment,
  signal: AbortSignal,
  onProgress: (progress: Progress) => void,
): Promise<sets.Outcome> {
  const { tenantId, runId, epoch, spec, plan, entities } = assignment
  const folder = await mkdtemp(join(deps.scratch, 'log-'))
  try {
    const logs = new Map<string, TypeLog>()
    for (const type of new Set(plan.views.map(({ eventType }) => eventType))) {
      const about = { folder, prefix: `log-${logs.size}`, type }
      logs.set(type, await logOf(deps, assignment, about, signal))
    }
    const spine = `spine.${spec.input.format}`
    const files = Object.assign({}, ...[...logs.values()].map(log => log.files), {
      [spine]: await deps.blobs.localFile(blobKeys.file(tenantId, spec.input.sha256)),
    })
    const set = {
      service: plan,
      entities,
      logs: Object.fromEntries([...logs].map(([type, { sql }]) => [type, sql])),
      spine: { file: spine, format: spec.input.format },
      knowledge: { mode: spec.mode, asOf: spec.asOf },
      statuses: spec.statuses,
      files,
    }
    const key = blobKeys.result(tenantId, runId, epoch)
    const store = async ({ rows, spentUs, bytes }: Stored) => {
      signal.throwIfAborted()
      const { size, sha256 } = await deps.blobs.put(key, bytes)
      return { rows, computeUs: spentUs, size, sha256 }
    }
    const done = await withTrainingSet(deps.scratch, set, signal, store, { onProgress })
    const lineage = Object.fromEntries([...logs].map(([type, log]) => [type, log.lineage]))
    return { kind: 'make', key, ...done, lineage }
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

type Stored = { rows: number; spentUs: number; bytes: AsyncIterable<Uint8Array> }

async function logOf(
  deps: SetDeps,
  { tenantId, spec }: sets.Assignment,
  { folder, prefix, type }: { folder: string; prefix: string; type: string },
  signal: AbortSignal,
): Promise<TypeLog> {
  const query: ExportQuery = { type, asOf: spec.asOf, to: spec.logPosition }
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
    sql: logRelation(first.type, { segments, rows: [rows], to: spec.logPosition }),
    files,
    lineage: {
      version: first.type.version,
      segments: segments.length,
      segmentsSha256: digestOf(first.segments.map(({ sha256 }) => sha256)),
      openRows,
    },
  }
}

async function segmentFiles(
  { blobs }: SetDeps,
  { segments }: ExportPage,
  prefix: string,
  files: Record<string, string>,
  signal: AbortSignal,
): Promise<string[]> {
  const names: string[] = []
  for (const [i, { blob }] of segments.entries()) {
    signal.throwIfAborted()
    const name = `${prefix}-${i}.parquet`
    files[name] = await blobs.localFile(blob)
    names.push(name)
  }
  return names
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
