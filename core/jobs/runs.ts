/** Runs and their steps as rows: what jobs, leases and sweeps all do to them. */
import { and, eq, inArray, sql } from 'drizzle-orm'
import type { Unit } from '#core/deps.ts'
import { AppError } from '#core/error.ts'
import * as outbox from '#core/outbox.ts'
import { isId, newId, type RunId, type StepId } from '#schemas/ids.ts'
import { queueFor } from '#schemas/queues.ts'
import { runs, type StepKind, type StepState, steps } from '#schemas/tables/jobs.ts'

export type Run = typeof runs.$inferSelect
export type Step = typeof steps.$inferSelect
export type NewStep = {
  kind: StepKind
  number: number
  state: Extract<StepState, 'queued' | 'waiting'>
  input: Record<string, unknown>
}

/** Where the result stands if there is one, what it is, and what it was made from. */
export type RunResult = {
  key?: string
  size?: number
  sha256?: string
  lineage?: Run['lineage']
}

/** States of a run that has not ended. */
export const OPEN = ['queued', 'running'] as const
/** Rows per INSERT, well under PostgreSQL's limit of 65,535 parameters. */
const STEPS_PER_INSERT = 2_000

export async function find(unit: Unit, id: string, lock = false): Promise<Run> {
  const query = unit.tx
    .select()
    .from(runs)
    .where(eq(runs.id, id as RunId))
  const [row] = isId('run', id) ? await (lock ? query.for('update') : query) : []
  if (!row) throw new AppError('not_found', { public: 'There is no job with this id.' })
  return row
}

/** Adds steps to a run and puts those that are ready on the queue, in the same transaction. */
export async function addSteps(unit: Unit, run: Run, added: NewStep[]): Promise<void> {
  const now = unit.clock.now()
  const rows = added.map(step => ({
    tenantId: run.tenantId,
    id: newId('step', now),
    runId: run.id,
    updatedAt: new Date(now),
    ...step,
  }))
  for (let at = 0; at < rows.length; at += STEPS_PER_INSERT) {
    const slice = rows.slice(at, at + STEPS_PER_INSERT)
    await unit.tx.insert(steps).values(slice)
    await enqueue(
      unit,
      run,
      slice.filter(row => row.state === 'queued').map(row => row.id),
    )
  }
}

/** Promises a message for each of the steps, to runners of the class that the run asks for. */
export function enqueue(
  unit: Unit,
  run: Pick<Run, 'tenantId' | 'spec'>,
  ids: StepId[],
  delayS = 0,
): Promise<void> {
  const queue = queueFor('work', hardwareOf(run))
  return outbox.promise(
    unit,
    run.tenantId,
    ids.map(stepId => ({ queue, body: { stepId }, delayS })),
  )
}

/**
 * For a message that met a runner of another class: an older version of the code has sent it, or several classes share its
 * queue. A new one takes its place, so that none is received so often that it counts as poison.
 */
export async function sendElsewhere(
  unit: Unit,
  run: Run,
  step: Step,
): Promise<{ status: 'elsewhere' }> {
  const now = unit.clock.now()
  // Heard of: the sweep has nothing to add.
  await unit.tx
    .update(steps)
    .set({ updatedAt: new Date(now) })
    .where(eq(steps.id, step.id))
  await enqueue(unit, run, [step.id], outbox.elsewhereS(now - run.createdAt.getTime()))
  return { status: 'elsewhere' }
}

/** The class of hardware that its model's version asks for; undefined: any will do. */
export function hardwareOf({ spec }: Pick<Run, 'spec'>): string | undefined {
  return 'hardware' in spec ? spec.hardware : undefined
}

/** Ends a run that has not ended, fencing off every step that is under way. Null: it had ended before. */
export async function end(
  unit: Unit,
  run: Run,
  state: 'done' | 'failed' | 'canceled' | 'expired',
  error: { code: string; detail: string } | null,
  result?: RunResult,
): Promise<Run | null> {
  if (!OPEN.includes(run.state as (typeof OPEN)[number])) return null
  const endedAt = new Date(unit.clock.now())
  const [ended] = await unit.tx
    .update(runs)
    .set({
      state,
      error,
      endedAt,
      resultKey: result?.key,
      resultSize: result?.size,
      resultSha256: result?.sha256,
      lineage: result?.lineage,
    })
    .where(eq(runs.id, run.id))
    .returning()
  await unit.tx
    .update(steps)
    .set({
      state: 'canceled',
      epoch: sql`${steps.epoch} + 1`,
      leaseUntil: null,
      updatedAt: endedAt,
    })
    .where(and(eq(steps.runId, run.id), inArray(steps.state, ['waiting', 'queued', 'leased'])))
  return ended!
}
