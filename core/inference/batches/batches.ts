/** Batches of requests by the file, in the form of OpenAI. The front of this folder. */
import type { Call } from '#core/caller.ts'
import type { Servable, Unit } from '#core/deps.ts'
import { AppError } from '#core/error.ts'
import { modelNamed, notText, wrong } from '#core/inference/embeddings/embeddings.ts'
import * as jobs from '#core/jobs/jobs.ts'
import * as models from '#core/models/models.ts'
import * as usage from '#core/usage/usage.ts'
import { type FileId, isId, type StepId } from '#schemas/ids.ts'
import type { BatchFound, BatchSpec, StepKind } from '#schemas/tables/jobs.ts'
import { keep, promise, ready } from './files.ts'
import { listOf } from './listed.ts'
import { shown, WINDOW_S } from './shown.ts'

export * as files from './files.ts'

export type Part = { key: string; errorsKey: string | null }
type Kind = Extract<StepKind, 'plan' | 'shard' | 'merge'>
export type Assignment = jobs.Assigned<Kind> & {
  form: 'batch'
  input: Record<string, unknown>
  spec: BatchSpec
  /** Null until the file has been read. */
  model: Servable | null
  /** For the last step: what the shards made, and the files that it becomes. */
  join: { parts: Part[]; output: FileId; errors: FileId } | null
}

type Wanted = {
  input_file_id: string
  endpoint: string
  metadata?: Record<string, string> | null
  output_expires_after?: { seconds: number }
}

/** Begins a batch. Throws `invalid_request` for a file that there is not. */
export async function create(unit: Unit, call: Call, input: Wanted) {
  const file = await ready(unit, input.input_file_id, true)
  if (file?.purpose !== 'batch') {
    const what = `"${input.input_file_id}" is no file of this tenant with the purpose "batch".`
    throw wrong('input_file_id', what)
  }
  const spec: BatchSpec = {
    requests: { file: file.id, size: file.size },
    endpoint: input.endpoint,
    metadata: input.metadata ?? null,
    outputExpiresAfterS: input.output_expires_after?.seconds ?? null,
  }
  const plan = { kind: 'batch', first: 'plan', spec, expiresInS: WINDOW_S } as const
  const { id } = await jobs.start(unit, call, plan)
  return shown(await jobs.runOf(unit, id))
}

export async function get(unit: Unit, { batch_id }: { batch_id: string }) {
  return shown(await batchRun(unit, batch_id))
}

export async function list(unit: Unit, query: { limit: number; after?: string }) {
  if (query.after !== undefined && !isId('run', query.after)) {
    throw wrong('after', `"after" must be the id of a batch, not "${query.after}".`)
  }
  const rows = await jobs.runsOf(unit, 'batch', query)
  return listOf(rows.map(shown), query.limit)
}

/** What is done by then becomes its files; the rest is not begun. */
export async function cancel(unit: Unit, call: Call, { batch_id }: { batch_id: string }) {
  const { id } = await batchRun(unit, batch_id)
  await jobs.cancel(unit, call, { job_id: id })
  return shown(await jobs.runOf(unit, id))
}

/** All that a runner must know to do the step. */
export async function assignment(unit: Unit, leased: jobs.leases.Leased): Promise<Assignment> {
  const { step, run } = leased
  const spec = run.spec as BatchSpec
  const { model, version } = spec
  return {
    ...jobs.assigned<Kind>(leased),
    form: 'batch',
    input: step.input,
    spec,
    model: model ? await models.resolve(unit, model, String(version)) : null,
    join: step.kind === 'merge' ? await joinOf(unit, run) : null,
  }
}

async function joinOf(unit: Unit, { id, tenantId }: jobs.Run): Promise<Assignment['join']> {
  return {
    parts: (await jobs.doneShards(unit, id)) as Part[],
    output: await promise(unit, tenantId),
    errors: await promise(unit, tenantId),
  }
}

type FileMade = { id: FileId; size: number } | null
export type Outcome =
  | { kind: 'batch_plan'; model: string; rows: number; shards: jobs.ShardInput[] }
  | { kind: 'batch_refusal'; errors: NonNullable<BatchFound['errors']> }
  | {
      kind: 'batch_shard'
      part: Part
      rowsDone: number
      rowsFailed: number
      /** Texts that were embedded. */
      rows: number
      tokens: number
      computeUs: number
      bytesIn: number
      bytesOut: number
    }
  | { kind: 'batch_merge'; output: FileMade; errors: FileMade }

type Finished<O> = { stepId: StepId; epoch: number; outcome: O }
type Of<K extends Outcome['kind']> = Extract<Outcome, { kind: K }>

/** Ends a step. What a shard cost and what the batch became commit with it. */
export async function finish(unit: Unit, input: Finished<Outcome>): Promise<void> {
  const { outcome, ...lease } = input
  if (outcome.kind === 'batch_plan') return planned(unit, { ...lease, outcome })
  if (outcome.kind === 'batch_refusal') return refuse(unit, lease, outcome.errors)
  if (outcome.kind === 'batch_shard') return shardDone(unit, { ...lease, outcome })
  return merged(unit, { ...lease, outcome })
}

/** Pins the version that the requests' model means now. */
async function planned(unit: Unit, { outcome, ...lease }: Finished<Of<'batch_plan'>>) {
  let model: Servable
  try {
    const { name, version } = modelNamed({ model: outcome.model })
    model = await models.pin(unit, name, version)
    if (!model.signature.embedding) throw notText(model)
  } catch (error) {
    if (!(error instanceof AppError)) throw error
    const { code, public: message } = error
    return refuse(unit, lease, [{ code, message, line: null, param: 'model' }])
  }
  const next = jobs.shardsThenMerge(outcome.shards)
  const { version, digest, manifest } = model
  const { spec: asked } = await jobs.leases.runOf(unit, lease.stepId)
  const pinned = { model: model.model, version, digest, hardware: manifest.hardware }
  const spec: BatchSpec = { ...(asked as BatchSpec), ...pinned }
  const completion = { ...lease, output: {}, next, spec, rowsTotal: outcome.rows }
  const { status, run } = await jobs.leases.complete(unit, completion)
  if (status === 'repeated') return
  await jobs.note(unit, run, { found: { inProgressAt: unit.clock.now() } })
}

async function refuse(
  unit: Unit,
  lease: { stepId: StepId; epoch: number },
  errors: NonNullable<BatchFound['errors']>,
): Promise<void> {
  const [first] = errors
  const error = { code: 'invalid_body', detail: first!.message }
  const run = await jobs.leases.fail(unit, { ...lease, kind: 'permanent', error })
  await jobs.note(unit, run, { found: { errors } })
}

async function shardDone(unit: Unit, { outcome, ...lease }: Finished<Of<'batch_shard'>>) {
  const { part, rowsDone, rowsFailed, rows, tokens, computeUs, bytesIn, bytesOut } = outcome
  const completion = { ...lease, output: part, rowsDone, rowsFailed }
  const done = await jobs.leases.complete(unit, completion)
  if (done.status === 'repeated') return
  const { run } = done
  if (run.stepsLeft === 1) await jobs.note(unit, run, { found: { finalizingAt: unit.clock.now() } })
  const { model, version, digest } = run.spec as Required<BatchSpec>
  const of = { kind: 'bulk' as const, model, version, digest }
  await usage.bill(unit, done, of, { rows, tokens, computeUs, bytesIn, bytesOut })
}

async function merged(unit: Unit, { outcome, ...lease }: Finished<Of<'batch_merge'>>) {
  const run = await jobs.leases.runOf(unit, lease.stepId)
  const { outputExpiresAfterS } = run.spec as BatchSpec
  const found = run.lineage as BatchFound | null
  const { output, errors } = outcome
  const lineage = { ...found, outputFile: output?.id, errorFile: errors?.id }
  const endsAs = found?.windingDown?.as ?? 'done'
  const completion = { ...lease, output: {}, result: { lineage }, endsAs } as const
  if ((await jobs.leases.complete(unit, completion)).status === 'repeated') return
  const name = { output: `${run.id}_output.jsonl`, errors: `${run.id}_error.jsonl` }
  const expiresInS = outputExpiresAfterS
  if (output) await keep(unit, { ...output, filename: name.output, expiresInS })
  if (errors) await keep(unit, { ...errors, filename: name.errors, expiresInS })
}

async function batchRun(unit: Unit, id: string): Promise<jobs.Run> {
  const run = isId('run', id) ? await jobs.runOf(unit, id).catch(() => null) : null
  if (run?.kind === 'batch') return run
  throw new AppError('not_found', { public: 'There is no batch with this id.' })
}
