/**
 * Requests of many callers, run together. While the engine is free a request never waits for others:
 * a batch forms when the engine frees, out of what has come by then. Every caller gets exactly its own
 * rows, pays its share of the measured time, and fails alone.
 */
import type { Clock } from '#core/deps.ts'
import { AppError } from '#core/error.ts'
import type { Tensor } from '#core/inference/tensor.ts'
import type { TraceContext, Tracer } from '#core/trace.ts'
import type { LoadedModel } from '#gpu-runners/engines/engine.ts'
import type { Signature } from '#schemas/signature.ts'
import { createAdmission } from './admission.ts'
import {
  type Answer,
  type Ask,
  bytesOfAll,
  type Departure,
  keyer,
  LEVEL_MS,
  levelOf,
  rowsOf,
  type Waiting,
} from './ask.ts'
import { type BatchMetrics, type Gone, runBatch } from './batch.ts'
import { type Budget, createFairQueue } from './fair-queue.ts'
import { BATCH_LIMITS, type BatchLimits } from './limits.ts'
import { createPace } from './pace.ts'
import { submitInParts } from './parts.ts'
import { endWait } from './traced.ts'

export type { Answer } from './ask.ts'
export type { BatchMetrics, Gone } from './batch.ts'
export { BATCH_LIMITS, type BatchLimits } from './limits.ts'

export type Submission = {
  tenant: string
  /** Of the model's rows, in proportion to those of others who wait; 1 if not given. */
  weight?: number
  /** Among the tenant's own requests: 1 goes first, 0 or not given is in between (see `levelOf`). */
  priority?: number
  /** In the signature's order and checked against it, as `decodeRequest` gives them. */
  inputs: readonly Tensor[]
  outputs: readonly string[]
  /** Milliseconds since 1970 after which the answer is of no use. */
  deadlineMs?: number
  /** The same from its arrival here; the earlier one counts. */
  timeoutMs?: number
  /** Aborted when the caller has left; looked at before the run, so an AbortSignal is not needed. */
  signal?: Departure
  /** The span that its wait and its batch are parts of; absent: it is not traced. */
  trace?: TraceContext
}

export type Batcher = {
  /**
   * Rejects with `overloaded` at once if there is no room or the deadline cannot be met behind what
   * waits; later with `deadline_exceeded` or `canceled` if the caller ran out of time or left before
   * its run, `inference_failed` if the model fails on this very input.
   */
  submit(submission: Submission): Promise<Answer>
  /** Rows that wait. */
  readonly queuedRows: number
  /** False once the model's outputs showed that rows cannot be told apart. */
  readonly batched: boolean
}

const never = Number.POSITIVE_INFINITY
const NOBODY: Gone = { refused: 0, late: 0, left: 0 }

export function createBatcher(given: {
  model: LoadedModel
  signature: Signature
  clock: Clock
  /** Measures runs; milliseconds from any beginning, with fractions. */
  stopwatch?: Clock
  limits?: Partial<BatchLimits>
  onBatch?: (metrics: BatchMetrics) => void
  /** One came and is not computed; told at once, for the next batch may never come. */
  onGone?: (why: keyof Gone) => void
  tracer?: Tracer | null
}): Batcher {
  const { model, signature, clock, stopwatch = performance, onBatch, onGone, tracer } = given
  const limits = { ...BATCH_LIMITS, ...given.limits }
  const queue = createFairQueue()
  const pace = createPace(stopwatch)
  const admission = createAdmission(queue, pace, limits, { isDead, isShared: () => batched })
  const keyOf = keyer(signature)
  const worth = (rows: number) => (batched ? pace.fullness(rows, limits.batchRowsMax) : 1)
  const run = { model, signature, clock, pace, worth, isDead, free, mixes, tracer }
  const budget: Budget = {
    rowsMax: limits.batchRowsMax,
    bytesMax: limits.batchBytesMax,
    runMs: pace.runMs,
    roomMs: ask => admission.roomMs(ask, clock.now()),
  }
  const hasRows = signature.inputs.some(input => input.batch_axis !== null)
  let batched = signature.batching !== 'unbatched' && hasRows
  let busy = false
  let seq = 0
  let gone: Gone = { ...NOBODY }

  function submit(submission: Submission): Promise<Answer> {
    const { inputs, tenant, weight = 1, priority = 0 } = submission
    const rows = rowsOf(signature, inputs)
    const bytes = bytesOfAll(inputs)
    const queuedMs = clock.now()
    const { deadlineMs = never, timeoutMs = never, signal } = submission
    const one: Waiting = {
      tenant,
      weight,
      level: levelOf(priority),
      rows,
      bytes,
      queuedMs,
      deadlineMs: Math.min(deadlineMs, queuedMs + timeoutMs),
      signal,
    }
    if (submission.trace && tracer) one.trace = { context: submission.trace, sinceMs: tracer.now() }
    const refusal = admission.refusal(one)
    if (refusal) {
      leave('refused', one)
      return Promise.reject(refusal)
    }
    const { outputs } = submission
    if (batched && rows > 1) {
      const fitting = Math.floor((limits.batchBytesMax * rows) / bytes)
      const partRows = Math.max(1, Math.min(limits.batchRowsMax, fitting))
      if (rows > partRows) {
        return submitInParts(signature, { ...one, inputs, outputs, partRows }, enqueue)
      }
    }
    return enqueue(one, inputs, outputs, false)
  }

  function enqueue(
    one: Waiting,
    inputs: readonly Tensor[],
    outputs: readonly string[],
    part: boolean,
  ): Promise<Answer> {
    return new Promise((resolve, reject) => {
      queue.push({
        ...one,
        inputs,
        outputs,
        // Without rows there is nothing to tell the answers apart by.
        key: batched && one.rows > 0 ? keyOf(inputs, outputs) : null,
        turnMs: one.queuedMs + one.level * LEVEL_MS,
        seq: seq++,
        part,
        resolve,
        reject,
      })
      wake()
    })
  }

  /** Lets every request of this turn of the event loop join, then takes a batch. */
  function wake(): void {
    if (busy) return
    busy = true
    setImmediate(work)
  }

  function work(): void {
    const taken = queue.take(budget, isHopeless)
    if (!taken) {
      busy = false
      return
    }
    void runBatch(run, taken, gone).then(onBatch)
    gone = { ...NOBODY }
  }

  /** The engine has done with a batch of so many rows. */
  function free(rows: number): void {
    busy = false
    // If enough waits it leaves before the last batch is answered, or the engine would stand idle
    // meanwhile; if little does, those who are answered now may come with more.
    if (queue.rows * 2 >= rows && queue.size > 0) {
      busy = true
      work()
    } else if (queue.size > 0) wake()
  }

  /** Never again together, whatever publishing found out. */
  function mixes(): void {
    batched = false
  }

  function leave(why: keyof Gone, { trace }: Waiting): void {
    gone[why]++
    onGone?.(why)
    if (trace && tracer) endWait(tracer, trace, why)
  }

  /** Drops one whose answer nobody waits for any more. */
  function isDead(ask: Ask): boolean {
    if (ask.signal?.aborted) {
      leave('left', ask)
      ask.reject(new AppError('canceled'))
      return true
    }
    if (ask.deadlineMs === Number.POSITIVE_INFINITY) return false
    const lateMs = clock.now() - ask.deadlineMs
    if (lateMs < 0) return false
    leave('late', ask)
    ask.reject(
      new AppError('deadline_exceeded', {
        public: `The deadline passed ${Math.ceil(lateMs)} ms ago, while the request waited for the model; nothing was computed.`,
      }),
    )
    return true
  }

  /** Drops also one whose answer would come too late, unless it is the last: it takes nobody's place. */
  function isHopeless(ask: Ask): boolean {
    if (isDead(ask)) return true
    const now = clock.now()
    if (queue.size === 1 || !admission.isHopeless(ask, now)) return false
    leave('late', ask)
    ask.reject(
      new AppError('deadline_exceeded', {
        public: `The deadline is in ${Math.floor(ask.deadlineMs - now)} ms, and the next run will take longer; nothing was computed.`,
      }),
    )
    return true
  }

  return {
    submit,
    get queuedRows() {
      return queue.rows
    },
    get batched() {
      return batched
    },
  }
}
