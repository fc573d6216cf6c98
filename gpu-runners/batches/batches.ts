/** Batches of requests on a runner: read the file, answer some of it, join the answers. */
import * as blobKeys from '#core/blob-keys.ts'
import type { Blobs, Clock } from '#core/deps.ts'
import { AppError } from '#core/error.ts'
import type { Assignment, Outcome } from '#core/inference/batches/batches.ts'
import { concatenated } from '#gpu-runners/bulk/parts.ts'
import type { BulkModels } from '#gpu-runners/models/bulk-models.ts'
import type { Tokenizers } from '#gpu-runners/text/tokenizers.ts'
import type { FileId } from '#schemas/ids.ts'
import { planBatch } from './plan.ts'
import { runBatchShard } from './shard.ts'

export type BatchDeps = { blobs: Blobs; clock: Clock; models: BulkModels; tokenizers: Tokenizers }

/** Does the step. Rejects as `runStep` of bulk work does. */
export async function runBatchStep(
  deps: BatchDeps,
  assignment: Assignment,
  signal: AbortSignal,
): Promise<Outcome> {
  const { tenantId, spec, kind } = assignment
  const input = blobKeys.batchFile(tenantId, spec.requests.file)
  if (kind === 'plan') {
    return planBatch(deps.blobs, { key: input, endpoint: spec.endpoint }, signal)
  }
  if (kind === 'shard') return shard(deps, assignment, input, signal)
  const { parts, output, errors } = assignment.join!
  const texts = parts.map(part => part.key)
  const faults = parts.flatMap(part => part.errorsKey ?? [])
  return {
    kind: 'batch_merge',
    output: await joined(deps.blobs, assignment, texts, output, signal),
    errors: await joined(deps.blobs, assignment, faults, errors, signal),
  }
}

function shard(deps: BatchDeps, assignment: Assignment, input: string, signal: AbortSignal) {
  const { tenantId, runId, number, epoch, model: servable } = assignment
  if (!servable) throw new AppError('internal', { internal: 'a shard came before its plan' })
  const key = blobKeys.shard(tenantId, runId, number, epoch)
  return deps.models.use(tenantId, servable, async (model, files) => {
    const tokenizer = deps.tokenizers.open(files.tokenizerPath!)
    try {
      const all = { ...deps, model, servable, tokenizer }
      return await runBatchShard(all, assignment, { input, key }, signal)
    } finally {
      tokenizer.close()
    }
  })
}

/** The parts as one file; null: there is nothing in it. */
async function joined(
  blobs: Blobs,
  { tenantId }: Assignment,
  parts: string[],
  id: FileId,
  signal: AbortSignal,
): Promise<{ id: FileId; size: number } | null> {
  const key = blobKeys.batchFile(tenantId, id)
  const { size } = await blobs.put(key, concatenated(blobs, parts, signal))
  if (size > 0) return { id, size }
  await blobs.delete(key)
  return null
}
