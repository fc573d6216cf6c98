/**
 * Requests of many callers, run together. While the engine is free a request never waits for others:
 * a batch forms when the engine frees, out of what has come by then. Every caller gets exactly its own
 * rows, pays its share of the measured time, and fails alone.
 */
import type { Clock } from '#core/deps.ts'
import { AppError } from '#core/error.ts'
import type { Tensor } from '#core/inference/tensor.ts'
import type { LoadedModel } from '#gpu-runners/engines/engine.ts'
import type { Signature } from '#schemas/signature.ts'
import { type Answer, type Ask, bytesOfAll, type Departure, keyer, rowsOf } from './ask.ts'
import { bisect } from './bisect.ts'
import { createFairQueue, type Reason, type Taken } from './fair-queue.ts'
import {
  axesOf,
  checkRows,
  joinInputs,
  putTogether,
  RowsDiffer,
  sliceInputs,
  takeApart,
} from './joined.ts'
import { createServiceTime } from './service-time.ts'
import { shares } from './shares.ts'

export type { Answer } from './ask.ts'

export type BatchLimits = {
  /** Rows of one run. */
  batchRowsMax: number
  /** Bytes of input of one run; a single larger row still runs. */
  batchBytesMax: number
  /** What may wait; beyond it callers are refused with the time after which to come back. */
  queueRowsMax: number
  queueBytesMax: number
}
export const BATCH_LIMITS: BatchLimits = {
  // Small models gain nothing past it, and a caller behind a batch waits for all of it.
  batchRowsMax: 256,
  batchBytesMax: 8 * 2 ** 20,
  queueRowsMax: 16_384,
  queueBytesMax: 256 * 2 ** 20,
}

export type BatchMetrics = {
  requests: number
  rows: number
  /** Of all runs that succeeded for it; equals the sum of what its callers pay. */
  computeUs: number
  /** Runs it took: 1, or more when it was divided to find a culprit. */
  runs: number
  failed: number
  /** How long its oldest request waited. */
  waitedMs: number
  reason: Reason
}

export type Submission = {
  tenant: string
  /** In the signature's order and checked against it, as `decodeRequest` gives them. */
  inputs: readonly Tensor[]
  outputs: readonly string[]
  /** Milliseconds since 1970 after which the answer is of no use. */
  deadlineMs?: number
  /** Aborted when the caller has left; looked at before the run, so an AbortSignal is not needed. */
  signal?: Departure
}

export type Batcher = {
  /**
   * Throws `overloaded` at once; later `deadline_exceeded` or `canceled` if the caller ran out of time
   * or left before its run, `inference_failed` if the model fails on this very input.
   */
  submit(submission: Submission): Promise<Answer>
  /** Rows that wait. */
  readonly queuedRows: number
  /** False once the model's outputs showed that rows cannot be told apart. */
  readonly batched: boolean
}

export function createBatcher(given: {
  model: LoadedModel
  signature: Signature
  clock: Clock
  limits?: Partial<BatchLimits>
  onBatch?: (metrics: BatchMetrics) => void
}): Batcher {
  const { model, signature, clock, onBatch } = given
  const limits = { ...BATCH_LIMITS, ...given.limits }
  const budget = { rowsMax: limits.batchRowsMax, bytesMax: limits.batchBytesMax }
  const queue = createFairQueue()
  const serviceTime = createServiceTime()
  const keyOf = keyer(signature)
  let batched =
    signature.batching !== 'unbatched' && signature.inputs.some(input => input.batch_axis !== null)
  let busy = false
  let seq = 0

  function enqueue(submission: Submission, part = false): Promise<Answer> {
    const { tenant, inputs, outputs, deadlineMs, signal } = submission
    const { promise, resolve, reject } = Promise.withResolvers<Answer>()
    const rows = rowsOf(signature, inputs)
    queue.push({
      tenant,
      inputs,
      outputs,
      rows,
      bytes: bytesOfAll(inputs),
      // Without rows there is nothing to tell the answers apart by.
      key: batched && rows > 0 ? keyOf(inputs, outputs) : null,
      deadlineMs: deadlineMs ?? Number.POSITIVE_INFINITY,
      signal,
      queuedMs: clock.now(),
      seq: seq++,
      part,
      resolve,
      reject,
    })
    wake()
    return promise
  }

  /** Lets every request of this turn of the event loop join, then takes a batch. */
  function wake(): void {
    if (busy) return
    busy = true
    setImmediate(work)
  }

  async function work(): Promise<void> {
    const taken = queue.take(budget, isDead)
    if (taken) await runBatch(taken)
    busy = false
    if (queue.size > 0) wake()
  }

  async function runBatch({ asks, rows, reason }: Taken): Promise<void> {
    const waitedMs = clock.now() - Math.min(...asks.map(ask => ask.queuedMs))
    const metrics = {
      requests: asks.length,
      rows,
      computeUs: 0,
      runs: 0,
      failed: 0,
      waitedMs,
      reason,
    }
    const fail = (ask: Ask, error: unknown) => {
      metrics.failed++
      ask.reject(error)
    }
    try {
      await bisect(asks, some => runSome(some, metrics), fail)
    } catch (error) {
      for (const ask of asks) fail(ask, error)
    }
    onBatch?.(metrics)
  }

  async function runSome(asks: readonly Ask[], metrics: BatchMetrics): Promise<void> {
    // The first run follows at once on the taking; only after it can time have passed.
    const live = metrics.runs++ === 0 ? asks : asks.filter(ask => !isDead(ask))
    if (live.length === 0) return
    const { outputs: names } = live[0]!
    const axes = axesOf(signature, names)
    const rows = live.map(ask => ask.rows)
    const total = rows.reduce((sum, n) => sum + n, 0)
    const inputs = joinInputs(
      signature,
      live.map(ask => ask.inputs),
    )
    const { outputs, computeUs } = await model.run(inputs, names)
    serviceTime.record(total, computeUs)
    if (live.length > 1 || live[0]!.part) {
      try {
        checkRows(outputs, axes, total)
      } catch (error) {
        return runApart(live, metrics, error)
      }
    }
    metrics.computeUs += computeUs
    const parts = live.length === 1 ? [outputs] : takeApart(outputs, axes, rows)
    const paid = shares(computeUs, rows)
    live.forEach((ask, i) => {
      ask.resolve({ outputs: parts[i]!, computeUs: paid[i]!, rows: ask.rows, batchRows: total })
    })
  }

  /** The model mixes rows, whatever was found at its publishing: never again together. */
  async function runApart(asks: readonly Ask[], metrics: BatchMetrics, error: unknown) {
    batched = false
    for (const ask of asks) {
      if (ask.part) {
        metrics.failed++
        ask.reject(error)
      } else {
        await bisect(
          [ask],
          some => runSome(some, metrics),
          (one, reason) => {
            metrics.failed++
            one.reject(reason)
          },
        )
      }
    }
  }

  /** Drops one whose answer nobody waits for any more. */
  function isDead(ask: Ask): boolean {
    if (ask.signal?.aborted) {
      ask.reject(new AppError('canceled'))
      return true
    }
    const lateMs = clock.now() - ask.deadlineMs
    if (!(lateMs >= 0)) return false
    ask.reject(
      new AppError('deadline_exceeded', {
        public: `The deadline passed ${lateMs} ms ago, while the request waited for the model; nothing was computed.`,
      }),
    )
    return true
  }

  async function submitInParts(submission: Submission, rows: number, partRows: number) {
    let failed = false
    const { signal: own } = submission
    const signal = {
      get aborted() {
        return failed || own?.aborted === true
      },
    }
    const parts: Promise<Answer>[] = []
    for (let from = 0; from < rows; from += partRows) {
      const to = Math.min(rows, from + partRows)
      const inputs = sliceInputs(signature, submission.inputs, from, to)
      parts.push(enqueue({ ...submission, inputs, signal }, true))
    }
    try {
      const answers = await Promise.all(parts)
      const axes = axesOf(signature, submission.outputs)
      return {
        outputs: putTogether(
          answers.map(answer => answer.outputs),
          axes,
        ),
        computeUs: answers.reduce((sum, answer) => sum + answer.computeUs, 0),
        rows,
        batchRows: Math.max(...answers.map(answer => answer.batchRows)),
      }
    } catch (error) {
      failed = true
      await Promise.allSettled(parts)
      if (error instanceof RowsDiffer) return enqueue(submission)
      throw error
    }
  }

  function admit(rows: number, bytes: number): void {
    const fits = () =>
      queue.rows + rows <= limits.queueRowsMax && queue.bytes + bytes <= limits.queueBytesMax
    if (queue.size === 0 || fits()) return
    queue.sweep(isDead)
    if (queue.size === 0 || fits()) return
    const waitUs = serviceTime.predictUs(queue.rows, limits.batchRowsMax)
    throw new AppError('overloaded', {
      public: `${queue.rows} rows wait for this model, which is all that its queue takes with this request.`,
      retryable: true,
      retryAfterS: Math.max(1, Math.ceil(waitUs / 1e6)),
    })
  }

  return {
    async submit(submission) {
      const { inputs } = submission
      const rows = rowsOf(signature, inputs)
      const bytes = bytesOfAll(inputs)
      admit(rows, bytes)
      const partRows = Math.max(
        1,
        Math.min(limits.batchRowsMax, Math.floor((limits.batchBytesMax * rows) / bytes)),
      )
      return batched && rows > partRows
        ? submitInParts(submission, rows, partRows)
        : enqueue(submission)
    },
    get queuedRows() {
      return queue.rows
    },
    get batched() {
      return batched
    },
  }
}
