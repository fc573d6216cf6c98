/** Steps of runs: received, leased with an epoch, kept by a heartbeat, finished or given back. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Log, Message, Queue } from '#core/deps.ts'
import { AppError } from '#core/error.ts'
import type { checks, proofs, tables } from '#core/features/features.ts'
import type * as batches from '#core/inference/batches/batches.ts'
import type * as bulk from '#core/inference/bulk.ts'
import type { leases } from '#core/jobs/jobs.ts'
import { HEARTBEAT_MS } from '#core/jobs/lease-times.ts'
import type { sets } from '#core/training/training.ts'
import type { StepId, TenantId } from '#schemas/ids.ts'
import { QUEUES } from '#schemas/queues.ts'
import type { Control } from './control.ts'
import { holdMessage } from './hold.ts'
import type { Protection } from './leaving/protection.ts'
import { NoRoom } from './models/memory.ts'

export type Assignment =
  | batches.Assignment
  | bulk.Assignment
  | sets.Assignment
  | proofs.Assignment
  | checks.Assignment
  | tables.Assignment
type Reply = Assignment | Exclude<leases.LeaseReply, { status: 'leased' }>
type Outcome =
  | batches.Outcome
  | bulk.Outcome
  | sets.Outcome
  | proofs.Outcome
  | checks.Outcome
  | tables.Outcome
export type OnProgress = (progress: leases.Progress) => void
/** What is left takes about as long as to find out what comes next. */
export type OnNearlyDone = () => void
export type StepDeps = {
  queue: Queue
  control: Control
  log: Log
  runner: string
  /** The class of this runner. */
  hardware: string
  protection: Protection
  work(
    assignment: Assignment,
    signal: AbortSignal,
    on: { progress: OnProgress; nearlyDone: OnNearlyDone },
  ): Promise<Outcome>
}

/** `draining`: nothing new is begun; `givingUp`: what has not ended is handed back. */
export type Signals = { draining: AbortSignal; givingUp: AbortSignal }
/** `comes`: the step before has ended; `nearlyOver`: the one after may be leased. */
type Turn = { comes: Promise<void>; nearlyOver: OnNearlyDone }

/**
 * Works on steps one after the other until the signal to drain fires: the next is asked for and leased when the
 * last is nearly done, and begins when that is stored and told. Two at most have not ended, and one has begun: a
 * runner that is killed costs no more than that one.
 */
export async function steps(deps: StepDeps, signals: Signals): Promise<void> {
  const { draining: signal } = signals
  let ending = Promise.resolve()
  while (!signal.aborted) {
    try {
      const [message] = await deps.queue.receive('work', { max: 1, waitS: 20, signal })
      if (!message) continue
      const nearlyDone = Promise.withResolvers<void>()
      const turn = { comes: ending, nearlyOver: nearlyDone.resolve }
      const working = step(deps, message, signals, turn).catch(error => failed(deps, error, signal))
      await Promise.race([working, nearlyDone.promise])
      await ending
      ending = working
    } catch (error) {
      await failed(deps, error, signal)
    }
  }
  await ending
}

async function failed(deps: StepDeps, error: unknown, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return
  deps.log.error('runner.step_failed', { error: String(error) })
  await sleep(500, undefined, { signal }).catch(() => {})
}

async function step(deps: StepDeps, message: Message, signals: Signals, turn: Turn): Promise<void> {
  const { tenantId, stepId } = JSON.parse(message.body) as { tenantId: TenantId; stepId: StepId }
  const { queue, control, runner, hardware } = deps
  if (signals.draining.aborted) {
    await queue.extend('work', message.receipt, 0)
    return
  }
  const lease = { tenantId, stepId, runner, hardware }
  // Not ended by the drain: a lease that nobody heard of would hold the step until it runs out.
  const assignment = await control.ask<Reply>('/internal/steps/lease', lease, signals.givingUp)
  if (assignment.status === 'held') {
    await queue.extend('work', message.receipt, assignment.waitS + 1)
    return
  }
  if (assignment.status === 'leased') {
    const hold = holdMessage(queue, 'work', message, QUEUES.work.visibilityS)
    const unprotect = deps.protection.hold()
    try {
      await perform(deps, assignment, signals, turn)
    } finally {
      hold.release()
      unprotect()
    }
  }
  await queue.delete('work', [message.receipt])
}

/** Does the work of a lease and says how it ended. A lease that was lost is dropped in silence. */
async function perform(
  deps: StepDeps,
  assignment: Assignment,
  { draining, givingUp }: Signals,
  turn: Turn,
): Promise<void> {
  const { tenantId, stepId, epoch } = assignment
  const lost = new AbortController()
  let progress: leases.Progress | undefined
  const on = {
    progress: (now: leases.Progress) => {
      progress = now
    },
    nearlyDone: turn.nearlyOver,
  }
  const beat = setInterval(() => void heartbeat(deps, assignment, progress, lost), HEARTBEAT_MS)
  let outcome = 'done'
  let hasBegun = false
  let began = performance.now()
  try {
    await orAborted(turn.comes, draining)
    hasBegun = true
    began = performance.now()
    deps.log.info('runner.step_begun', { run: assignment.runId, step: stepId, epoch })
    const result = await deps.work(assignment, AbortSignal.any([givingUp, lost.signal]), on)
    const finish = { tenantId, stepId, epoch, outcome: result }
    await deps.control.insist('/internal/steps/finish', finish, lost.signal)
  } catch (error) {
    const isPreempted = !hasBegun || givingUp.aborted || isForNow(error)
    const handedBack = hasBegun ? 'preempted' : 'not begun'
    outcome = lost.signal.aborted || isStale(error) ? 'lost' : isPreempted ? handedBack : 'failed'
    if (outcome !== 'lost') await giveBack(deps, assignment, error, isPreempted)
  } finally {
    clearInterval(beat)
    deps.log.info('runner.step', {
      run: assignment.runId,
      step: stepId,
      kind: assignment.kind,
      number: assignment.number,
      epoch,
      outcome,
      ms: Math.round(performance.now() - began),
    })
  }
}

/** Throws as soon as the signal fires, however long the wait still is. */
async function orAborted(wait: Promise<void>, signal: AbortSignal): Promise<void> {
  const aborted = Promise.withResolvers<never>()
  const abort = () => aborted.reject(signal.reason)
  if (signal.aborted) abort()
  signal.addEventListener('abort', abort)
  try {
    // The abort first: where both have come, nothing begins.
    await Promise.race([aborted.promise, wait])
  } finally {
    signal.removeEventListener('abort', abort)
  }
}

async function heartbeat(
  deps: StepDeps,
  lease: Assignment,
  progress: leases.Progress | undefined,
  lost: AbortController,
): Promise<void> {
  const { tenantId, stepId, epoch } = lease
  try {
    await deps.control.ask('/internal/steps/heartbeat', { tenantId, stepId, epoch, progress })
  } catch (error) {
    // Silence of the functions is no loss: the epoch check decides at the end.
    if (isStale(error)) lost.abort()
  }
}

async function giveBack(
  deps: StepDeps,
  { tenantId, stepId, epoch }: Assignment,
  error: unknown,
  preempted: boolean,
): Promise<void> {
  const known = error instanceof AppError ? error : new AppError('internal', { cause: error })
  const permanent = known.status < 500
  if (!preempted) deps.log.error('runner.step_error', { step: stepId, error: String(error) })
  const failure = {
    tenantId,
    stepId,
    epoch,
    kind: preempted ? 'preempted' : permanent ? 'permanent' : 'retryable',
    error: { code: known.code, detail: known.public },
  }
  try {
    await deps.control.insist('/internal/steps/fail', failure, AbortSignal.timeout(10_000))
  } catch (failed) {
    if (!isStale(failed)) throw failed
  }
}

/** Other models had the memory: neither the input's fault nor the model's, and no attempt of the step. */
function isForNow(error: unknown): boolean {
  return error instanceof NoRoom && error.retryable
}

function isStale(error: unknown): boolean {
  return error instanceof AppError && error.code === 'stale_epoch'
}
