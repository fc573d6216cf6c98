/**
 * Bulk inference: a run whose first step plans shards over the input, whose shards each write a result,
 * and whose last step joins the results in order. Runners do the work; these verbs say what it means.
 */
import type { Call } from '#core/caller.ts'
import type { Servable, Unit } from '#core/deps.ts'
import { AppError } from '#core/error.ts'
import * as jobs from '#core/jobs/jobs.ts'
import * as models from '#core/models/models.ts'
import * as usage from '#core/usage/usage.ts'
import type { StepId } from '#schemas/ids.ts'
import type { InferenceSpec, StepKind } from '#schemas/tables/jobs.ts'

type Kind = Extract<StepKind, 'plan' | 'shard' | 'merge'>
export type Assignment = jobs.Assigned<Kind> & {
  input: Record<string, unknown>
  spec: InferenceSpec
  model: Servable
  /** Keys and formats of the shards' results, in order; for the last step. */
  parts: string[]
}

/** Pins the model's version and starts the run. */
export async function create(
  unit: Unit,
  call: Call,
  input: {
    model: string
    version?: number | string
    input: { sha256: string; format: 'jsonl' | 'parquet' }
    expires_in_s: number
  },
): Promise<jobs.ShownJob> {
  const wanted = input.version === undefined ? undefined : String(input.version)
  const model = await models.pin(unit, input.model, wanted)
  const file = await models.uploads.fileOf(unit, input.input.sha256)
  if (!file) {
    throw new AppError('invalid_body', {
      public: 'input.sha256 names no complete upload of this tenant; upload the file first.',
      errors: [{ pointer: '/input/sha256', detail: 'no such file' }],
    })
  }
  const spec: InferenceSpec = {
    model: model.model,
    version: model.version,
    digest: model.digest,
    input: { ...input.input, size: file.size },
    hardware: model.manifest.hardware,
  }
  const expiresInS = input.expires_in_s
  return jobs.start(unit, call, { kind: 'inference', first: 'plan', spec, expiresInS })
}

/** All that a runner must know to do the step. */
export async function assignment(unit: Unit, leased: jobs.leases.Leased): Promise<Assignment> {
  const { step, run } = leased
  const spec = run.spec as InferenceSpec
  const model = await models.resolve(unit, spec.model, String(spec.version))
  return {
    ...jobs.assigned<Kind>(leased),
    input: step.input,
    spec,
    model,
    parts: step.kind === 'merge' ? await partsOf(unit, run) : [],
  }
}

async function partsOf(unit: Unit, { id }: jobs.Run): Promise<string[]> {
  const done = (await jobs.doneShards(unit, id)) as { key: string }[]
  return done.map(({ key }) => key)
}

export type Outcome =
  | { kind: 'plan'; rows: number; shards: jobs.ShardInput[] }
  | {
      kind: 'shard'
      key: string
      rowsDone: number
      rowsFailed: number
      computeUs: number
      bytesIn: number
      bytesOut: number
    }
  | { kind: 'merge'; key: string; size: number; sha256: string }

/** Ends a step; a shard's receipt commits in the same transaction, so done and billed are one fact. */
export async function finish(
  unit: Unit,
  input: { stepId: StepId; epoch: number; outcome: Outcome },
): Promise<void> {
  const { outcome, ...lease } = input
  const done = await jobs.leases.complete(unit, { ...lease, ...completionOf(outcome) })
  if (done.status === 'repeated' || outcome.kind !== 'shard') return
  const { model, version, digest } = done.run.spec as InferenceSpec
  const of = { kind: 'bulk' as const, model, version, digest }
  await usage.bill(unit, done, of, {
    // A row that was refused before it reached the model is reported, not billed.
    rows: outcome.rowsDone - outcome.rowsFailed,
    computeUs: outcome.computeUs,
    bytesIn: outcome.bytesIn,
    bytesOut: outcome.bytesOut,
  })
}

function completionOf(outcome: Outcome) {
  if (outcome.kind === 'plan') {
    return { output: {}, next: jobs.shardsThenMerge(outcome.shards), rowsTotal: outcome.rows }
  }
  if (outcome.kind === 'shard') {
    const { rowsDone, rowsFailed, key } = outcome
    return { output: { key }, rowsDone, rowsFailed }
  }
  const { key, size, sha256 } = outcome
  return { output: { key }, result: { key, size, sha256 } }
}
