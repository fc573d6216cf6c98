/**
 * What a runner does to a step: lease, heartbeat, complete, fail. Every write carries the epoch of the
 * lease, and a stale one is refused (a fencing token: Kleppmann, "How to do distributed locking", 2016),
 * so a runner that comes back from the dead changes nothing.
 */
import { and, eq, sql } from 'drizzle-orm'
import type { Unit } from '#core/deps.ts'
import { AppError } from '#core/error.ts'
import type { StepId } from '#schemas/ids.ts'
import { runs, steps } from '#schemas/tables/jobs.ts'
import { LEASE_MS } from './lease-times.ts'
import {
  addSteps,
  end,
  enqueue,
  find,
  hardwareOf,
  type NewStep,
  type Run,
  type RunResult,
  type Step,
  sendElsewhere,
} from './runs.ts'

const ATTEMPTS_MAX = 5
/** Leases that ended without a word: after so many the step itself is what kills its runners. */
const LOSSES_MAX = 25
const BACKOFF_BASE_MS = 1_000
const BACKOFF_CAP_MS = 15 * 60_000

export type Leased = { status: 'leased'; epoch: number; step: Step; run: Run }
/**
 * `gone`: done, canceled, or never was; `elsewhere`: promised to runners of the class that it asks for; `held`: another
 * runner has it, look again after the wait.
 */
type Refused = { status: 'gone' | 'elsewhere' } | { status: 'held'; waitS: number }
export type LeaseReply = Leased | Refused

export async function lease(
  unit: Unit,
  input: { stepId: StepId; runner: string; hardware?: string },
): Promise<LeaseReply> {
  const step = await locked(unit, input.stepId)
  if (!step || (step.state !== 'queued' && step.state !== 'leased')) return { status: 'gone' }
  const now = unit.clock.now()
  const until = step.state === 'leased' ? (step.leaseUntil?.getTime() ?? 0) : 0
  if (until > now && step.runner !== input.runner) {
    return { status: 'held', waitS: Math.ceil((until - now) / 1000) }
  }
  const run = await find(unit, step.runId, true)
  if (!mayRun(run, input.hardware)) return sendElsewhere(unit, run, step)
  const losses = step.losses + (step.state === 'leased' ? 1 : 0)
  if (losses > LOSSES_MAX) {
    const detail = `Runners ended without a word while they worked on this step, ${losses} times.`
    await endStep(unit, step, 'failed', { code: 'runner_lost', detail })
    await end(unit, run, 'failed', { code: 'runner_lost', detail })
    return { status: 'gone' }
  }
  const [leased] = await unit.tx
    .update(steps)
    .set({
      state: 'leased',
      epoch: step.epoch + 1,
      losses,
      runner: input.runner,
      leaseUntil: new Date(now + LEASE_MS),
      updatedAt: new Date(now),
    })
    .where(eq(steps.id, step.id))
    .returning()
  if (run.state === 'queued') {
    await unit.tx
      .update(runs)
      .set({ state: 'running', startedAt: new Date(now) })
      .where(eq(runs.id, run.id))
  }
  return { status: 'leased', epoch: leased!.epoch, step: leased!, run }
}

/** A model that asks for a class of hardware runs on no other. */
function mayRun(run: Run, hardware: string | undefined): boolean {
  const wanted = hardwareOf(run)
  return wanted === undefined || wanted === hardware
}

/** Of a step that is its whole run: rows so far. */
export type Progress = { rowsTotal: number; rowsDone: number }

/** Extends the lease. Throws `stale_epoch` when it has ended: the runner must drop the step. */
export async function heartbeat(
  unit: Unit,
  input: { stepId: StepId; epoch: number; progress?: Progress },
): Promise<void> {
  // The run before its step, as everywhere.
  if (input.progress) await locked(unit, input.stepId)
  const now = unit.clock.now()
  const [kept] = await unit.tx
    .update(steps)
    .set({ leaseUntil: new Date(now + LEASE_MS), updatedAt: new Date(now) })
    .where(and(eq(steps.id, input.stepId), eq(steps.epoch, input.epoch), eq(steps.state, 'leased')))
    .returning({ runId: steps.runId })
  if (!kept) throw stale()
  if (!input.progress) return
  const { rowsTotal, rowsDone } = input.progress
  await unit.tx.update(runs).set({ rowsTotal, rowsDone }).where(eq(runs.id, kept.runId))
}

export type Completion = {
  stepId: StepId
  epoch: number
  output: Record<string, unknown>
  /** Steps that this one calls for. */
  next?: NewStep[]
  /** What the run is known to do since this step: its next steps ask for that. */
  spec?: Run['spec']
  rowsTotal?: number
  rowsDone?: number
  rowsFailed?: number
  /** The result of the whole run, when this was its last step. */
  result?: RunResult
  /** How the run ends with it; as done, if it is not said. */
  endsAs?: 'done' | 'canceled' | 'expired'
}

/**
 * Ends a step with its output and starts what waits for it, in the caller's transaction. `repeated`:
 * this very lease completed it before, and nothing was written again.
 */
export async function complete(
  unit: Unit,
  input: Completion,
): Promise<{ status: 'completed' | 'repeated'; step: Step; run: Run }> {
  const step = await locked(unit, input.stepId)
  if (!step || step.epoch !== input.epoch) throw stale()
  const known = await find(unit, step.runId, true)
  const run = { ...known, spec: input.spec ?? known.spec }
  if (step.state === 'done') return { status: 'repeated', step, run: known }
  if (step.state !== 'leased') throw stale()
  await endStep(unit, step, 'done', null, input.output)
  if (input.next) await addSteps(unit, run, input.next)
  const shards = input.next?.filter(next => next.kind === 'shard').length ?? 0
  const left = run.stepsLeft + shards - (step.kind === 'shard' ? 1 : 0)
  await unit.tx
    .update(runs)
    .set({
      spec: input.spec,
      stepsTotal: run.stepsTotal + shards,
      stepsLeft: left,
      rowsTotal: input.rowsTotal ?? run.rowsTotal,
      // What a heartbeat has said of a step that is its whole run is in there already.
      rowsDone: (isWholeRun(step) ? 0 : run.rowsDone) + (input.rowsDone ?? 0),
      rowsFailed: run.rowsFailed + (input.rowsFailed ?? 0),
    })
    .where(eq(runs.id, run.id))
  if (input.result) await end(unit, run, input.endsAs ?? 'done', null, input.result)
  else if (left === 0) await releaseWaiting(unit, run)
  return { status: 'completed', step, run }
}

export type Failure = {
  stepId: StepId
  epoch: number
  /** `preempted` does not consume an attempt. */
  kind: 'retryable' | 'permanent' | 'preempted'
  error: { code: string; detail: string }
}

/** Gives a step back, to be tried again, or ends its run when that cannot help. */
export async function fail(unit: Unit, input: Failure): Promise<Run> {
  const step = await locked(unit, input.stepId)
  if (!step || step.epoch !== input.epoch || step.state !== 'leased') throw stale()
  const attempts = step.attempts + (input.kind === 'preempted' ? 0 : 1)
  const run = await find(unit, step.runId, true)
  if (input.kind === 'permanent' || attempts >= ATTEMPTS_MAX) {
    await endStep(unit, step, 'failed', input.error)
    await end(unit, run, 'failed', input.error)
    return run
  }
  await unit.tx
    .update(steps)
    .set({
      state: 'queued',
      attempts,
      leaseUntil: null,
      runner: null,
      error: input.error,
      updatedAt: new Date(unit.clock.now()),
    })
    .where(eq(steps.id, step.id))
  const delayMs = input.kind === 'preempted' ? 0 : backoffMs(attempts)
  await enqueue(unit, run, [step.id], Math.round(delayMs / 1000))
  return run
}

/** The run of a step, locked, for what is to be known before the step ends. Throws `stale_epoch`. */
export async function runOf(unit: Unit, stepId: StepId): Promise<Run> {
  const step = await locked(unit, stepId)
  if (!step) throw stale()
  return find(unit, step.runId, true)
}

function isWholeRun({ kind }: Step): boolean {
  return kind !== 'plan' && kind !== 'shard' && kind !== 'merge'
}

async function releaseWaiting(unit: Unit, run: Run): Promise<void> {
  const released = await unit.tx
    .update(steps)
    .set({ state: 'queued', updatedAt: new Date(unit.clock.now()) })
    .where(and(eq(steps.runId, run.id), eq(steps.state, 'waiting')))
    .returning({ id: steps.id })
  await enqueue(
    unit,
    run,
    released.map(row => row.id),
  )
}

async function locked(unit: Unit, stepId: StepId): Promise<Step | undefined> {
  // The run first, always: two shards that end at once would otherwise lock it in opposite orders.
  await unit.tx.execute(sql`
    select 1 from runs where id = (select run_id from steps where id = ${stepId}) for update`)
  const [step] = await unit.tx.select().from(steps).where(eq(steps.id, stepId)).for('update')
  return step
}

async function endStep(
  unit: Unit,
  step: Step,
  state: 'done' | 'failed',
  error: { code: string; detail: string } | null,
  output?: Record<string, unknown>,
): Promise<void> {
  await unit.tx
    .update(steps)
    .set({ state, error, output, leaseUntil: null, updatedAt: new Date(unit.clock.now()) })
    .where(eq(steps.id, step.id))
}

/** Full jitter (Brooker, "Exponential Backoff And Jitter", AWS 2015). */
function backoffMs(attempt: number): number {
  return Math.random() * Math.min(BACKOFF_CAP_MS, BACKOFF_BASE_MS * 2 ** attempt)
}

function stale(): AppError {
  return new AppError('stale_epoch', {
    public: 'This lease has ended: the step was taken over, finished or canceled.',
  })
}
