/**
 * Bulk inference on a runner: plan the shards of an input, run one of them, join their results. A step
 * may be killed at any point and done again by another runner: results are named by the lease's epoch,
 * and nothing is announced before it is stored.
 */
import * as blobKeys from '#core/blob-keys.ts'
import type { Blobs, Clock, Log } from '#core/deps.ts'
import { AppError } from '#core/error.ts'
import type { Assignment, Outcome } from '#core/inference/bulk.ts'
import type { ShardInput } from '#core/jobs/jobs.ts'
import { settingsOn } from '#gpu-runners/models/files.ts'
import type { Turns } from '#gpu-runners/steps.ts'
import type { Signature } from '#schemas/signature.ts'
import type { RunSettings } from '#schemas/tuning.ts'
import { PARQUET_LIMITS, planParquet, withJoined, withRows } from './parquet/parquet.ts'
import { concatenated, opened } from './parts.ts'
import { planJsonl, SHARD_LIMITS, shardLimits } from './plan.ts'
import { type RunnableModel, runShard } from './shard.ts'

export type BulkDeps = {
  blobs: Blobs
  log: Log
  clock: Clock
  /** A folder for temporary files. */
  scratch: string
  /** The class of this runner. */
  hardware: string
  /** Gives the assignment's model to the work, and takes it back afterwards. */
  withModel<T>(assignment: Assignment, work: (model: RunnableModel) => Promise<T>): Promise<T>
}

const ALONE: Turns = { begin: async () => {}, nearlyDone() {} }

/**
 * Does the step. Rejects with the signal's reason when aborted, and with an AppError otherwise: one that
 * is not `retryable` and no `internal` is the input's or the model's fault and would come again.
 */
export async function runStep(
  deps: BulkDeps,
  assignment: Assignment,
  signal: AbortSignal,
  /** A shard waits for its turn when its first rows are at the engine. */
  turns: Turns = ALONE,
): Promise<Outcome> {
  const { runId, stepId, kind, number, epoch } = assignment
  const start = deps.clock.now()
  const outcome = await perform(deps, assignment, signal, turns)
  const durationMs = deps.clock.now() - start
  deps.log.info('bulk.step', {
    tenant: assignment.tenantId,
    job: runId,
    step: stepId,
    kind,
    number,
    epoch,
    model: assignment.spec.digest,
    durationMs,
    ...summary(outcome),
  })
  return outcome
}

async function perform(
  deps: BulkDeps,
  assignment: Assignment,
  signal: AbortSignal,
  turns: Turns,
): Promise<Outcome> {
  signal.throwIfAborted()
  checkSignature(assignment.model.signature)
  if (assignment.kind === 'plan') return plan(deps, assignment, signal)
  if (assignment.kind === 'shard') {
    // Of a model that embeds texts the engine gives one output more than the version declares.
    const { signature } = assignment.model
    return deps.withModel(assignment, model => {
      const run: RunnableModel['run'] = (inputs, outputs) => model.run(inputs, outputs)
      return shard({ ...deps, turns }, { digest: model.digest, signature, run }, assignment, signal)
    })
  }
  return merge(deps, assignment, signal)
}

async function plan(deps: BulkDeps, assignment: Assignment, signal: AbortSignal): Promise<Outcome> {
  const { blobs, scratch } = deps
  const key = inputKey(assignment)
  const { model } = assignment
  // Whoever plans most likely takes the first shard as well: its model loads meanwhile. Why it does not is
  // for the shard to say.
  void deps.withModel(assignment, async () => {}).catch(() => {})
  // Whichever runner takes a shard: what is measured on one is near enough to cut by.
  const rowUs = model.tuning?.rowUs
  const planned = isParquet(assignment)
    ? await planParquet(
        scratch,
        await blobs.localFile(key),
        model.signature,
        signal,
        shardLimits(PARQUET_LIMITS, rowUs),
      )
    : await planJsonl(blobs, key, signal, shardLimits(SHARD_LIMITS, rowUs))
  return { kind: 'plan', ...planned }
}

async function shard(
  deps: BulkDeps & { turns: Turns },
  model: RunnableModel,
  assignment: Assignment,
  signal: AbortSignal,
): Promise<Outcome> {
  const { blobs, scratch, turns } = deps
  const { start, end, row, rows } = assignment.input as ShardInput
  const { tenantId, runId, number, epoch } = assignment
  const key = blobKeys.shard(tenantId, runId, number, epoch)
  const input = inputKey(assignment)
  const batchRows = batchRowsOf(settingsOn(deps.hardware, assignment.model))
  const span = { key, row, rows, fileStart: start === 0, batchRows, turns }
  if (isParquet(assignment)) {
    const path = await blobs.localFile(input)
    const { signature } = model
    const done = await withRows(scratch, path, { signature, start, end }, signal, source =>
      runShard(blobs, model, { ...span, source, form: 'columns' }, signal),
    )
    return { kind: 'shard', key, ...done }
  }
  const source = await opened(blobs, input, { start, end })
  const done = await runShard(blobs, model, { ...span, source, form: 'lines' }, signal)
  return { kind: 'shard', key, ...done }
}

/** What a batch costs on its way to the engine and back is little of so much work. */
const BATCH_US_MIN = 2_500
const BATCH_ROWS_MAX = 1_024

/** What online requests share is the smallest batch that is nearly best; nobody waits for one of these. */
function batchRowsOf(settings: RunSettings | undefined): number | undefined {
  if (!settings) return undefined
  const rows = Math.min(BATCH_ROWS_MAX, Math.ceil(BATCH_US_MIN / settings.rowUs))
  return Math.max(settings.batchRows, rows)
}

async function merge(
  deps: BulkDeps,
  assignment: Assignment,
  signal: AbortSignal,
): Promise<Outcome> {
  const { blobs, scratch } = deps
  const { tenantId, runId, epoch, parts, model } = assignment
  const key = blobKeys.result(tenantId, runId, epoch)
  const store = (bytes: AsyncIterable<Uint8Array>) => blobs.put(key, bytes)
  if (!isParquet(assignment)) {
    const { size, sha256 } = await store(concatenated(blobs, parts, signal))
    return { kind: 'merge', key, size, sha256 }
  }
  const paths: string[] = []
  for (const part of parts) paths.push(await blobs.localFile(part))
  const { size, sha256 } = await withJoined(scratch, paths, model.signature, signal, store)
  return { kind: 'merge', key, size, sha256 }
}

function isParquet({ spec }: Assignment): boolean {
  return spec.input.format === 'parquet'
}

function inputKey({ tenantId, spec }: Assignment): string {
  return blobKeys.file(tenantId, spec.input.sha256)
}

function checkSignature({ inputs, outputs }: Signature): void {
  const odd = [...inputs, ...outputs].find(tensor => tensor.datatype === 'BF16')
  if (!odd) return
  throw new AppError('invalid_body', {
    public: `Tensor "${odd.name}" of the model is BF16, which has no form in JSONL and Parquet.`,
  })
}

function summary(outcome: Outcome): Record<string, unknown> {
  if (outcome.kind === 'plan') return { rows: outcome.rows, shards: outcome.shards.length }
  if (outcome.kind === 'merge') return { bytes: outcome.size }
  const { rowsDone, rowsFailed, computeUs, bytesIn, bytesOut } = outcome
  return { rows: rowsDone, rowsFailed, computeUs, bytesIn, bytesOut }
}
