/** Jobs: bulk work as runs with steps. The front of this folder: `leases` is what runners do to steps. */
import { and, desc, eq, inArray, lt, sql } from 'drizzle-orm'
import type { Call } from '#core/caller.ts'
import type { Unit } from '#core/deps.ts'
import { AppError } from '#core/error.ts'
import { cursorOf, type Page, type PageQuery, pageOf, textPosition } from '#core/page.ts'
import { audit } from '#core/tenants/tenants.ts'
import { newId, type RunId } from '#schemas/ids.ts'
import {
  type BatchFound,
  type BatchSpec,
  type ImportSpec,
  type InferenceSpec,
  type ProofSpec,
  type RunKind,
  runs,
  type SkewSpec,
  type StepKind,
  type TrainingSetSpec,
} from '#schemas/tables/jobs.ts'
import { addSteps, end, find, OPEN, type Run } from './runs.ts'
import { shown } from './shown.ts'
import { windDown } from './wind-down.ts'

export { type Assigned, assigned } from './assigned.ts'
export * as leases from './leases.ts'
export { find as runOf, type Run } from './runs.ts'
export { doneShards, type ShardInput, shardsThenMerge } from './shards.ts'
export * as sweep from './sweep.ts'

export type ShownJob = ReturnType<typeof shown>

/** What a run is to do, and the kind of its first step. */
export type Plan =
  | { kind: Extract<RunKind, 'batch'>; first: Extract<StepKind, 'plan'>; spec: BatchSpec }
  | { kind: Extract<RunKind, 'import'>; first: Extract<StepKind, 'import'>; spec: ImportSpec }
  | { kind: Extract<RunKind, 'skew'>; first: Extract<StepKind, 'check'>; spec: SkewSpec }
  | { kind: Extract<RunKind, 'proof'>; first: Extract<StepKind, 'prove'>; spec: ProofSpec }
  | { kind: Extract<RunKind, 'inference'>; first: Extract<StepKind, 'plan'>; spec: InferenceSpec }
  | {
      kind: Extract<RunKind, 'training_set'>
      first: Extract<StepKind, 'make'>
      spec: TrainingSetSpec
    }

/** Creates a run with its first step; runners hear of it when the transaction has committed. */
export async function start(
  unit: Unit,
  call: Call,
  input: Plan & { expiresInS: number },
): Promise<ShownJob> {
  const { tenantId, keyId, project, tags } = call.caller
  const job = await begin(unit, { tenantId, keyId, project, tags }, input)
  await audit.record(unit, call, { action: 'jobs.create', target: job.id })
  return job
}

/** The same for the platform's own work, which nobody asked for just now. */
export async function begin(
  unit: Unit,
  who: Pick<Run, 'tenantId' | 'keyId' | 'project' | 'tags'>,
  input: Plan & { expiresInS: number },
): Promise<ShownJob> {
  const now = unit.clock.now()
  const [run] = await unit.tx
    .insert(runs)
    .values({
      ...who,
      id: newId('run', now),
      kind: input.kind,
      state: 'queued',
      spec: input.spec,
      createdAt: new Date(now),
      expiresAt: new Date(now + input.expiresInS * 1000),
    })
    .returning()
  await addSteps(unit, run!, [{ kind: input.first, number: 0, state: 'queued', input: {} }])
  return shown(run!)
}

export async function get(unit: Unit, input: { job_id: string }): Promise<ShownJob> {
  return shown(await find(unit, input.job_id))
}

export async function list(unit: Unit, query: PageQuery): Promise<Page<ShownJob>> {
  const after = textPosition('jobs', query.cursor) as RunId | null
  const rows = await unit.tx
    .select()
    .from(runs)
    .where(after ? lt(runs.id, after) : undefined)
    .orderBy(desc(runs.id))
    .limit(query.limit + 1)
  return pageOf(rows, query, row => cursorOf('jobs', row.id), shown)
}

/** Stops a job: its runners learn of it at their next heartbeat. A job that has ended stays as it is. */
export async function cancel(unit: Unit, call: Call, input: { job_id: string }): Promise<ShownJob> {
  const run = await find(unit, input.job_id, true)
  const isStopped =
    run.kind === 'batch'
      ? await windDown(unit, run, 'canceled')
      : (await end(unit, run, 'canceled', null)) !== null
  if (isStopped) await audit.record(unit, call, { action: 'jobs.cancel', target: run.id })
  return shown(await find(unit, run.id))
}

/** Where the result stands, for a job that is done. */
export async function resultOf(
  unit: Unit,
  input: { job_id: string },
): Promise<{ key: string; size: number; format: 'jsonl' | 'parquet' }> {
  const run = await find(unit, input.job_id)
  if (run.state !== 'done' || !run.resultKey) {
    const isWithout = run.state === 'done'
    throw new AppError('conflict', {
      public: isWithout
        ? 'This job has no file of results; the job itself says what it found.'
        : `The job is ${run.state}; results are there when it is done.`,
    })
  }
  const { spec } = run
  const isSet = run.kind === 'training_set'
  const format = isSet ? 'parquet' : 'input' in spec ? spec.input.format : 'jsonl'
  return { key: run.resultKey, size: run.resultSize ?? 0, format }
}

/** Runs of one kind, the newest first; one more than the limit where there are more. */
export async function runsOf(unit: Unit, kind: RunKind, query: { limit: number; after?: string }) {
  const after = query.after === undefined ? undefined : lt(runs.id, query.after as RunId)
  return unit.tx
    .select()
    .from(runs)
    .where(and(eq(runs.kind, kind), after))
    .orderBy(desc(runs.id))
    .limit(query.limit + 1)
}

/** What a batch has found out, in the transaction of the step that did. */
export async function note(unit: Unit, run: Run, known: { found: BatchFound }): Promise<void> {
  const lineage = { ...(run.lineage as BatchFound | null), ...known.found }
  await unit.tx.update(runs).set({ lineage }).where(eq(runs.id, run.id))
}

/** Whether a batch that has not ended reads this file. */
export async function readsFile(unit: Unit, file: string): Promise<boolean> {
  const reading = sql`${runs.spec}->'requests'->>'file' = ${file}`
  return (await unit.tx.$count(runs, and(inArray(runs.state, [...OPEN]), reading))) > 0
}

/** Whether a run that has not ended uses this version of a model. */
export async function usesVersion(unit: Unit, model: string, version: number): Promise<boolean> {
  const using = and(
    inArray(runs.state, [...OPEN]),
    sql`${runs.spec}->>'model' = ${model}`,
    sql`(${runs.spec}->>'version')::int = ${version}`,
  )
  return (await unit.tx.$count(runs, using)) > 0
}
