/**
 * Runs a model once before anyone depends on it: finds inputs it accepts, asks a few rows alone and
 * together, and learns from the answers whether rows may be joined and what the outputs really are.
 */
import type { InferenceSession, Tensor } from 'onnxruntime-node'
import type { Inspection } from '#core/models/onnx/inspect.ts'
import { type BatchAxes, settle, withoutRows } from '#core/models/onnx/signature.ts'
import { invalid } from '#core/models/onnx/wire.ts'
import type { Batching, Signature } from '#schemas/signature.ts'
import { compareRow, worse } from './compare.ts'
import { join, makeRow, type Row, repeat } from './feed.ts'
import { type Sizes, STYLES, type Style, scaled, sizeGuesses } from './guess.ts'
import { isOutOfMemory, sentenceFor } from './runtime-error.ts'
import { describeShapes } from './shapes.ts'
import type { TrialReport } from './verdict.ts'

const ROWS = 3
/** Kernels change their order of summation with the size of the batch, so several are compared. */
const BATCHES = [ROWS, 8, 33]
const LARGER_FACTORS = [2, 4]
const GUESSED_ELEMENTS_MAX = 2 ** 21
const TIMING_MS = 40
/** Comparing rows is worth a few seconds, not a minute. */
const JUDGING_MS = 3_000

type Outputs = Record<string, Tensor>
type Found = { rows: Row[]; lone: Outputs[]; firstMs: number; sizes: Sizes; style: Style }
type Failed = { error: unknown }
export type TrialTask = {
  session: InferenceSession
  inspection: Inspection
  /** As derived from the graph; the trial settles it. */
  signature: Signature
  batchAxes: BatchAxes
  trialDims: Record<string, number[]>
  /** Time for all of it; guessing stops at half of it. */
  budgetMs: number
  memoryBytes: number
  onShapes: (shapes: Record<string, number[]>) => void
}
type Clock = { leftMs(): number }

export async function runTrial(
  task: TrialTask,
): Promise<{ signature: Signature; trial: TrialReport; rows: Row[] }> {
  const clock = startClock(task.budgetMs)
  const found = await findRows(task, clock)
  const { rows } = found
  const trial: TrialReport = {
    rows: found.lone.length,
    batchRows: 0,
    microsPerRow: Math.round((await timeRun(task, [rows[0]!])) * 1000),
    microsPerRowBatched: null,
    shapes: shapesOf(task.signature, [rows[0]!]),
  }
  const signature = await settleRows(task, found, clock)
  if (signature.inputs.every(input => input.batch_axis === null)) return { signature, trial, rows }
  const batching = await judgeSizes(task, signature, found, startClock(JUDGING_MS), trial)
  if (trial.batchRows > 0) {
    const micros = (await timeRun(task, repeat(rows, trial.batchRows))) * 1000
    trial.microsPerRowBatched = Math.round(micros / trial.batchRows)
  }
  return { signature: { ...signature, batching }, trial, rows }
}

function startClock(budgetMs: number): Clock {
  const endsMs = performance.now() + budgetMs
  return { leftMs: () => endsMs - performance.now() }
}

/** The signature with what one row and three rows together show of the outputs. */
async function settleRows(task: TrialTask, found: Found, clock: Clock): Promise<Signature> {
  const one = dimsOf(found.lone[0]!)
  const hasRows = task.signature.inputs.some(input => input.batch_axis !== null)
  if (!hasRows) return withoutRows(task.signature, one)
  // A model too slow to be asked again is believed, and served one request at a time.
  if (found.lone.length < ROWS || found.firstMs * ROWS > clock.leftMs()) return task.signature
  const joined = await attempt(task, found.rows)
  if ('error' in joined) return withoutRows(task.signature, one)
  return settle(task.signature, { rows: ROWS, one, many: dimsOf(joined.outputs) }, task.batchAxes)
}

/** Judges at the sizes found, and at larger ones where the model takes them. */
async function judgeSizes(
  task: TrialTask,
  signature: Signature,
  found: Found,
  clock: Clock,
  trial: TrialReport,
): Promise<Batching> {
  const first = await judgeBatches(task, signature, found, clock)
  trial.batchRows = first.batchRows
  let batching = first.batching
  for (const factor of Object.keys(found.sizes).length > 0 ? LARGER_FACTORS : []) {
    if (batching === 'unbatched' || found.firstMs * factor ** 2 * ROWS > clock.leftMs()) break
    const rows = rowsFor(task, scaled(found.sizes, factor), found.style, false)
    const larger = rows && (await runEach(task, rows))
    if (!larger || 'error' in larger) continue
    const judged = await judgeBatches(task, signature, { ...found, ...larger }, clock)
    batching = worse(batching, judged.batching)
  }
  return batching
}

/** Compares rows in batches of several sizes with the same rows alone. */
async function judgeBatches(
  task: TrialTask,
  signature: Signature,
  found: Omit<Found, 'sizes' | 'style'>,
  clock: Clock,
): Promise<{ batching: Batching; batchRows: number }> {
  let batching: Batching = 'invariant'
  let batchRows = 0
  for (const rows of BATCHES) {
    if (batching === 'unbatched') break
    if (found.lone.length < ROWS || found.firstMs * rows > clock.leftMs()) break
    const result = await attempt(task, repeat(found.rows, rows))
    batching =
      'error' in result
        ? 'unbatched'
        : worse(batching, judge(signature, found.lone, result.outputs))
    batchRows = rows
  }
  return { batching: batchRows > 0 ? batching : 'unbatched', batchRows }
}

/** Sizes and values on which three rows run, each alone. Throws `invalid_model` when none is found. */
async function findRows(task: TrialTask, clock: Clock): Promise<Found> {
  const guesses = sizeGuesses(task.inspection, task.signature, task.trialDims)
  let tries = 0
  let shown: { shapes: string; error: unknown } | null = null
  for (const style of STYLES) {
    for (const sizes of guesses) {
      if (tries > 0 && clock.leftMs() < task.budgetMs / 2) break
      const rows = rowsFor(task, sizes, style, guesses.length === 1)
      if (!rows) continue
      tries++
      const result = await runEach(task, rows)
      if (!('error' in result)) return { ...result, sizes, style }
      // The first guess is the likeliest, unless another shows that memory is what lacks.
      if (!shown || (isOutOfMemory(result.error) && !isOutOfMemory(shown.error))) {
        shown = {
          shapes: describeShapes(shapesOf(task.signature, [rows[0]!])),
          error: result.error,
        }
      }
    }
  }
  throw invalid(failure(task, tries, shown))
}

function rowsFor(task: TrialTask, sizes: Sizes, style: Style, isGiven: boolean): Row[] | null {
  const elementsMax = isGiven ? Infinity : GUESSED_ELEMENTS_MAX
  const rows: Row[] = []
  for (let i = 0; i < ROWS; i++) {
    const row = makeRow(task.inspection, task.signature, {
      sizes,
      style,
      seed: 100 + i,
      elementsMax,
    })
    if (!row) return null
    rows.push(row)
  }
  return rows
}

async function runEach(
  task: TrialTask,
  rows: Row[],
): Promise<Omit<Found, 'sizes' | 'style'> | Failed> {
  const lone: Outputs[] = []
  const startedMs = performance.now()
  let firstMs = 0
  for (const row of rows) {
    const result = await attempt(task, [row])
    if ('error' in result) return result
    if (lone.push(result.outputs) === 1) firstMs = performance.now() - startedMs
    // The other rows are asked only when there is time for them.
    if (firstMs > task.budgetMs / 8) break
  }
  return { rows, lone, firstMs }
}

async function attempt(task: TrialTask, rows: Row[]): Promise<{ outputs: Outputs } | Failed> {
  task.onShapes(shapesOf(task.signature, rows))
  try {
    return { outputs: (await task.session.run(join(task.signature, rows))) as Outputs }
  } catch (error) {
    return { error }
  }
}

function judge(signature: Signature, lone: Outputs[], joined: Outputs): Batching {
  let batching: Batching = 'invariant'
  for (const { name, batch_axis: axis, datatype } of signature.outputs) {
    const batched = joined[name]!
    if (axis === null || batched.dims[axis] === undefined) return 'unbatched'
    for (let row = 0; row < batched.dims[axis]; row++) {
      const expected = elements(lone[row % ROWS]![name]!)
      batching = worse(batching, compareRow(elements(batched), row, expected, { axis, datatype }))
    }
  }
  return batching
}

async function timeRun(task: TrialTask, rows: Row[]): Promise<number> {
  const feeds = join(task.signature, rows)
  const startedMs = performance.now()
  let runs = 0
  do {
    await task.session.run(feeds)
    runs++
  } while (performance.now() - startedMs < TIMING_MS)
  return (performance.now() - startedMs) / runs
}

function failure(task: TrialTask, tries: number, shown: { shapes: string; error: unknown } | null) {
  if (!shown) {
    return 'No input small enough to be guessed fits the model. Give trial_shapes in the manifest: a full shape for each input.'
  }
  const why = isOutOfMemory(shown.error)
    ? `it needed more than the ${Math.floor(task.memoryBytes / 2 ** 20)} MiB of memory that it may use. ${sentenceFor(shown.error)}`
    : sentenceFor(shown.error)
  if (tries <= STYLES.length)
    return `The model failed in its trial run with ${shown.shapes}: ${why}`
  return `The model ran on none of ${tries} guessed inputs; with ${shown.shapes}: ${why} If it needs certain sizes, give trial_shapes in the manifest: a full shape for each input.`
}

function shapesOf(signature: Signature, rows: Row[]): Record<string, number[]> {
  const shape = (i: number, axis: number | null) =>
    rows[0]![i]!.shape.map((size, at) => (at === axis ? rows.length : size))
  return Object.fromEntries(
    signature.inputs.map((spec, i) => [spec.name, shape(i, spec.batch_axis)]),
  )
}

function dimsOf(outputs: Outputs): Record<string, number[]> {
  return Object.fromEntries(
    Object.entries(outputs).map(([name, tensor]) => [name, [...tensor.dims]]),
  )
}

function elements(tensor: Tensor) {
  return { dims: tensor.dims, data: tensor.data as ArrayLike<number | bigint | string> }
}
