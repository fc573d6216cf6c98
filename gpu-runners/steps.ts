/** Steps of runs: received, leased with an epoch, kept by a heartbeat, finished or given back. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Log, Queue } from '#core/deps.ts'
import { AppError } from '#core/error.ts'
import type { leases } from '#core/jobs/jobs.ts'
import { HEARTBEAT_MS } from '#core/jobs/lease-times.ts'
import type { TraceContext } from '#core/trace.ts'
import type { StepId, TenantId } from '#schemas/ids.ts'
import { QUEUES, type RunnerQueue } from '#schemas/queues.ts'
import type { Assignment, Outcome } from './assignment.ts'
import type { Control } from './control.ts'
import { holdMessage } from './hold.ts'
import type { Protection } from './leaving/protection.ts'
import { NoRoom } from './models/memory.ts'
import { type Received, receiver } from './receiving.ts'

type Reply = Assignment | Exclude<leases.LeaseReply, { status: 'leased' }>
export type OnProgress = (progress: leases.Progress) => void
/** How the work of a step keeps to the others of its runner. */
export type Turns = {
  /** Resolves when it may begin what would have to be done again: the step before is told. Ever the same. */
  begin(): Promise<void>
  /** What is left takes about as long as to find out what comes next. */
  nearlyDone(): void
}
export type StepDeps = {
  queue: Queue
  queues: readonly RunnerQueue[]
  control: Control
  log: Log
  runner: string
  /** The class of this runner. */
  hardware: string
  protection: Protection
  work(
    assignment: Assignment,
    signal: AbortSignal,
    on: Turns & { progress: OnProgress },
  ): Promise<Outcome>
}

/** `draining`: nothing new is begun; `givingUp`: what has not ended is handed back. */
export type Signals = { draining: AbortSignal; givingUp: AbortSignal }
type Body = { tenantId: TenantId; stepId: StepId; trace?: TraceContext }
/** `comes`: the step before has ended; `nearlyOver`: the one after may be leased. */
type Turn = { comes: Promise<void>; nearlyOver(): void }

/**
 * Works on steps one after the other until the signal to drain fires: the next is leased and made ready when the last
 * is nearly done, and begins when that is stored and told. Two at most have not ended, and one has begun: a
 * runner that is killed costs no more than that one.
 */
export async function steps(deps: StepDeps, signals: Signals): Promise<void> {
  const { draining: signal } = signals
  const receiving = receiver(deps.queue, deps.queues)
  let ending = Promise.resolve()
  while (!signal.aborted) {
    try {
      const received = await receiving.next(signal)
      if (!received) continue
      const nearlyDone = Promise.withResolvers<void>()
      const turn = { comes: ending, nearlyOver: nearlyDone.resolve }
      const met = () => receiving.met(received.queue)
      const working = step({ ...deps, met }, received, signals, turn).catch(error =>
        failed(deps, error, signal),
      )
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

async function step(
  deps: StepDeps & { met(): void },
  { queue: name, message }: Received,
  signals: Signals,
  turn: Turn,
): Promise<void> {
  const { tenantId, stepId, trace } = JSON.parse(message.body) as Body
  const { queue, control, runner, hardware } = deps
  if (signals.draining.aborted) {
    await queue.extend(name, message.receipt, 0)
    return
  }
  const lease = { tenantId, stepId, runner, hardware, trace }
  // Not ended by the drain: a lease that nobody heard of would hold the step until it runs out.
  const assignment = await control.ask<Reply>('/internal/steps/lease', lease, signals.givingUp)
  if (assignment.status === 'held') {
    await queue.extend(name, message.receipt, assignment.waitS + 1)
    return
  }
  if (assignment.status === 'elsewhere') deps.met()
  if (assignment.status === 'leased') {
    const hold = holdMessage(queue, name, message, QUEUES[name].visibilityS)
    const unprotect = deps.protection.hold()
    try {
      await perform(deps, { ...assignment, trace }, signals, turn)
    } finally {
      hold.release()
      unprotect()
    }
  }
  await queue.delete(name, [message.receipt])
}

/** Does the work of a lease and says how it ended. A lease that was lost is dropped in silence. */
async function perform(
  deps: StepDeps,
  assignment: Assignment,
  { draining, givingUp }: Signals,
  turn: Turn,
): Promise<void> {
  const { tenantId, stepId, epoch, trace } = assignment
  const lost = new AbortController()
  const turned = inTurn(turn.comes, draining, () =>
    deps.log.info('runner.step_begun', { run: assignment.runId, step: stepId, epoch }),
  )
  let progress: leases.Progress | undefined
  const on = {
    progress: (now: leases.Progress) => {
      progress = now
    },
    begin: turned.begin,
    nearlyDone: turn.nearlyOver,
  }
  const beat = setInterval(() => void heartbeat(deps, assignment, progress, lost), HEARTBEAT_MS)
  const began = performance.now()
  let outcome = 'done'
  try {
    const signal = AbortSignal.any([givingUp, lost.signal, turned.passed])
    signal.throwIfAborted()
    const result = await deps.work(assignment, signal, on)
    const finish = { tenantId, stepId, epoch, outcome: result, trace }
    await deps.control.insist('/internal/steps/finish', finish, lost.signal)
  } catch (error) {
    const isPreempted = turned.passed.aborted || givingUp.aborted || isForNow(error)
    const handedBack = turned.passed.aborted ? 'not begun' : 'preempted'
    outcome = lost.signal.aborted || isStale(error) ? 'lost' : isPreempted ? handedBack : 'failed'
    if (outcome !== 'lost') await giveBack(deps, assignment, error, isPreempted)
  } finally {
    clearInterval(beat)
    turned.close()
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

/** `passed` fires when the runner leaves before the turn has come; then it never comes. */
function inTurn(comes: Promise<void>, draining: AbortSignal, onBegin: () => void) {
  const passed = new AbortController()
  const left = Promise.withResolvers<never>()
  left.promise.catch(() => {})
  let beginning: Promise<void> | undefined
  let hasBegun = false
  const pass = () => {
    if (hasBegun) return
    passed.abort()
    left.reject(passed.signal.reason)
  }
  if (draining.aborted) pass()
  draining.addEventListener('abort', pass)
  const begin = async () => {
    // The end first: where both have come, nothing begins.
    await Promise.race([left.promise, comes])
    hasBegun = true
    onBegin()
  }
  return {
    begin: () => (beginning ??= begin()),
    passed: passed.signal,
    close: () => draining.removeEventListener('abort', pass),
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
  { tenantId, stepId, epoch, trace }: Assignment,
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
    trace,
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
