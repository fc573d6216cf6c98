/**
 * A model on a virtual clock: requests come by a script, runs take a·n + b milliseconds of time that does
 * not pass, so that hours of load are played in a moment and twice the same.
 */
import type { AppError } from '#core/error.ts'
import type { Tensor } from '#core/inference/tensor.ts'
import type { Overloaded } from '#gpu-runners/batcher/admission.ts'
import {
  type BatchLimits,
  type BatchMetrics,
  createBatcher,
  type Submission,
} from '#gpu-runners/batcher/batcher.ts'
import { Refusals } from '#gpu-runners/routing/refusals.ts'
import type { Batching, Signature } from '#schemas/signature.ts'

export type Arrival = Omit<Submission, 'inputs' | 'outputs' | 'deadlineMs' | 'signal'> & {
  atMs: number
  rows?: number
  /** From the arrival on. */
  withinMs?: number
}
export type Served = {
  arrival: Arrival
  /** `ok`, or the code of the error. */
  outcome: string
  endMs: number
  retryAfterS: number | undefined
}

const SIGNATURE: Signature = {
  batching: 'invariant',
  inputs: [{ name: 'x', datatype: 'UINT8', shape: [-1, 1], batch_axis: 0 }],
  outputs: [{ name: 'y', datatype: 'UINT8', shape: [-1, 1], batch_axis: 0 }],
}

/** `runMs`: how long a run of so many rows takes that begins at this time. Arrivals in order of time. */
export async function simulate(o: {
  arrivals: readonly Arrival[]
  runMs(rows: number, nowMs: number): number
  limits?: Partial<BatchLimits>
  batching?: Batching
  /** Told of what the router would refuse by itself; all are asked of the batcher then. */
  onDoor?(arrival: Arrival): void
}): Promise<{ served: Served[]; batches: BatchMetrics[]; busyMs: number }> {
  const clock = { ms: 0, now: () => clock.ms }
  const served: Served[] = []
  const batches: BatchMetrics[] = []
  const signature = { ...SIGNATURE, batching: o.batching ?? 'invariant' }
  let busyMs = 0
  let run: { endMs: number; end(): void } | null = null
  const batcher = createBatcher({
    model: {
      digest: 'simulated',
      signature,
      run: ([x]) =>
        new Promise(resolve => {
          const ms = o.runMs(x!.shape[0]!, clock.ms)
          busyMs += ms
          const outputs = [{ ...x!, name: 'y' }]
          const end = () => resolve({ outputs, computeUs: Math.max(1, Math.round(ms * 1_000)) })
          run = { endMs: clock.ms + ms, end }
        }),
      async close() {},
    },
    signature,
    clock,
    stopwatch: clock,
    limits: o.limits,
    onBatch: metrics => batches.push(metrics),
  })

  const refusals = new Refusals()
  const contexts: string[] = []
  function contextOf({ tenant }: Arrival): number {
    if (!contexts.includes(tenant)) contexts.push(tenant)
    return contexts.indexOf(tenant)
  }

  function arrive(arrival: Arrival): void {
    const { atMs, rows = 1, withinMs, ...who } = arrival
    const end = (outcome: string, retryAfterS?: number) =>
      served.push({ arrival, outcome, endMs: clock.ms, retryAfterS })
    const deadlineMs = withinMs === undefined ? undefined : atMs + withinMs
    const body = Buffer.from(arrival.priority === undefined ? '{}' : '{"priority":1}')
    const context = contextOf(arrival)
    const deadline = deadlineMs ?? Number.MAX_SAFE_INTEGER
    const asked = { deadline, body, jsonLength: null }
    const refusal = refusals.of(context, asked, clock.ms)
    if (refusal && o.onDoor) o.onDoor(arrival)
    else if (refusal) {
      end(refusal.code, refusal.retryAfterS)
      return
    }
    batcher.submit({ ...who, inputs: [inputOf(rows)], outputs: ['y'], deadlineMs }).then(
      () => end('ok'),
      (error: AppError) => {
        const { full } = error as Overloaded
        if (full) refusals.keep(context, { ...full, error }, clock.ms)
        end(error.code, error.retryAfterS)
      },
    )
  }

  for (let i = 0; i < o.arrivals.length || run; ) {
    const arrival = o.arrivals[i]
    const ending = run as { endMs: number; end(): void } | null
    if (arrival && (!ending || arrival.atMs <= ending.endMs)) {
      clock.ms = arrival.atMs
      arrive(arrival)
      i++
      // A refusal is known before the next one comes.
      await null
    } else if (ending) {
      clock.ms = ending.endMs
      run = null
      ending.end()
    }
    // What follows from it happens before any time passes.
    if (!run) for (let turn = 0; turn < 3; turn++) await new Promise(setImmediate)
  }
  return { served, batches, busyMs }
}

const inputs = new Map<number, Tensor>()
function inputOf(rows: number): Tensor {
  let input = inputs.get(rows)
  if (!input) {
    input = { name: 'x', datatype: 'UINT8', shape: [rows, 1], data: new Uint8Array(rows) }
    inputs.set(rows, input)
  }
  return input
}
