/** One batch, from the taking to its answers: joined, run, taken apart, paid for; divided when it fails. */
import type { Clock, Tracer } from '#core/deps.ts'
import { AppError } from '#core/error.ts'
import type { LoadedModel, RunResult } from '#gpu-runners/engines/engine.ts'
import type { Signature } from '#schemas/signature.ts'
import type { Ask } from './ask.ts'
import { bisect, blame } from './bisect.ts'
import type { Reason, Taken } from './fair-queue.ts'
import { axesOf, checkRows, joinInputs, type RowsDiffer, takeApart } from './joined.ts'
import type { Pace } from './pace.ts'
import { shares } from './shares.ts'
import { traceBatch } from './traced.ts'

export type BatchMetrics = {
  requests: number
  /** Whose they are, so many. */
  tenants: number
  rows: number
  /** Bytes of its inputs. */
  bytes: number
  /** Of all runs that succeeded for it; equals the sum of what its callers pay. */
  computeUs: number
  /** Runs it took: 1, or more when it was divided to find a culprit. */
  runs: number
  failed: number
  /** Since the batch before: refused at once, dropped as too late, dropped as their callers had left. */
  refused: number
  late: number
  left: number
  /** How long its oldest request waited, and all of them together. */
  waitedMs: number
  waitedMsSum: number
  /** Why it was closed and sent. */
  reason: Reason
  /** Its id in traces; absent where nobody in it is traced. */
  batch?: string
}

/** Who came and was not computed. */
export type Gone = Pick<BatchMetrics, 'refused' | 'late' | 'left'>

type Run = {
  model: LoadedModel
  signature: Signature
  clock: Clock
  pace: Pace
  /** Of a run of so many rows, the part that counts as work of the engine. */
  worth(rows: number): number
  /** Whether nobody waits for its answer any more; whoever asks has it told. */
  isDead(ask: Ask): boolean
  /** Called once, as soon as the engine can take another batch. */
  free(rows: number): void
  /** Outputs showed that the rows of several requests cannot be told apart. */
  mixes(): void
  tracer: Tracer | null | undefined
}

/** Answers every ask of the batch, which were alive just now. */
export async function runBatch(o: Run, taken: Taken, gone: Gone): Promise<BatchMetrics> {
  const { asks, rows } = taken
  const metrics = metricsOf(taken, gone, o.clock.now())
  const traced = traceBatch(o.tracer, taken)
  if (traced) metrics.batch = traced.id
  let isFree = false

  function free(): void {
    if (!isFree) o.free(rows)
    isFree = true
  }

  async function compute(live: readonly Ask[]): Promise<RunResult> {
    metrics.runs++
    const inputs = joinInputs(
      o.signature,
      live.map(ask => ask.inputs),
    )
    const rows = live.reduce((sum, ask) => sum + ask.rows, 0)
    const end = o.pace.begin(rows)
    const since = traced?.now()
    let isDone = false
    try {
      const result = await o.model.run(inputs, live[0]!.outputs, o.worth(rows))
      isDone = true
      return result
    } finally {
      end(isDone)
      if (since !== undefined) traced?.ran(live, since, isDone)
    }
  }

  function answer(live: readonly Ask[], { outputs, computeUs }: RunResult): void {
    const rows = live.map(ask => ask.rows)
    const axes = axesOf(o.signature, live[0]!.outputs)
    const parts = live.length === 1 ? [outputs] : takeApart(outputs, axes, rows)
    const paid = shares(computeUs, rows)
    const batchRows = rows.reduce((sum, n) => sum + n, 0)
    metrics.computeUs += computeUs
    traced?.end(live)
    for (let i = 0; i < live.length; i++) {
      live[i]!.resolve({ outputs: parts[i]!, computeUs: paid[i]!, rows: rows[i]!, batchRows })
    }
  }

  /** Half of a batch that failed, or one alone. */
  async function runSome(some: readonly Ask[]): Promise<void> {
    const live = some.filter(ask => !o.isDead(ask))
    if (live.length === 0) return
    const result = await compute(live)
    const wrong = rowsWrong(o.signature, live, result)
    if (wrong) await runApart(live, wrong)
    else answer(live, result)
  }

  /** The model mixes rows, whatever was found at its publishing: never again together. */
  async function runApart(some: readonly Ask[], wrong: RowsDiffer): Promise<void> {
    o.mixes()
    for (const ask of some) {
      if (ask.part) fail(ask, wrong)
      else await bisect([ask], runSome, fail)
    }
  }

  function fail(ask: Ask, error: unknown): void {
    metrics.failed++
    traced?.end([ask], error instanceof AppError ? error.code : 'internal')
    ask.reject(error)
  }

  try {
    const result = await compute(asks)
    const wrong = rowsWrong(o.signature, asks, result)
    // The next batch leaves before this one is answered.
    if (!wrong) free()
    if (wrong) await runApart(asks, wrong)
    else answer(asks, result)
  } catch (error) {
    await blame(asks, error, runSome, fail)
  }
  free()
  traced?.close()
  return metrics
}

/** Outputs have the rows that went in; of a request that ran alone and whole they are its own anyway. */
function rowsWrong(
  signature: Signature,
  live: readonly Ask[],
  { outputs }: RunResult,
): RowsDiffer | null {
  if (live.length === 1 && !live[0]!.part) return null
  const rows = live.reduce((sum, ask) => sum + ask.rows, 0)
  try {
    checkRows(outputs, axesOf(signature, live[0]!.outputs), rows)
    return null
  } catch (error) {
    return error as RowsDiffer
  }
}

function metricsOf({ asks, rows, reason }: Taken, gone: Gone, now: number): BatchMetrics {
  let bytes = 0
  let waitedMs = 0
  let waitedMsSum = 0
  const tenants = new Set<string>()
  for (const ask of asks) {
    tenants.add(ask.tenant)
    bytes += ask.bytes
    waitedMs = Math.max(waitedMs, now - ask.queuedMs)
    waitedMsSum += now - ask.queuedMs
  }
  const requests = asks.length
  const waited = { waitedMs, waitedMsSum, reason }
  const sizes = { requests, tenants: tenants.size, rows, bytes }
  return { ...sizes, computeUs: 0, runs: 0, failed: 0, ...gone, ...waited }
}
