/**
 * Measures how a model runs best: one run at several sizes of a batch and numbers of threads, within a
 * stated time. What is found is stored with the version, and every runner of the same hardware serves by
 * it.
 */
import type { Signature } from '#schemas/signature.ts'
import type { CurvePoint, Tuning } from '#schemas/tuning.ts'

const SIZES = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024]
/** Of all inputs of a batch: what the batcher puts together at most, in floats. */
const ELEMENTS_MAX = 2 ** 21
/** A caller behind a batch waits for all of it. */
const RUN_US_MAX = 100_000
/** What a batch costs beside its run, on its way to the engine's process and back. */
const HOP_US = 100
/** The smallest batch that is nearly as good as the best: larger ones only delay. */
const NEARLY = 0.95
/** Twice the threads must be worth so much, or they are better left to others. */
const PER_DOUBLING = 1.4
/** What brings a request of one row to the engine and its answer back takes so much of the same cores. */
const PATH_US = 150
/** Below it threads wait for each other longer than they work, and what was measured beside others' work is chance. */
const DIVIDED_RUN_US_MIN = 2_000
const BLOCKS = 3
const BLOCK_MS = 2

export type Measured = Omit<Tuning, 'hardware'>
/** One run of so many rows, which may be asked for again and again. */
export type Prepare = (rows: number) => () => Promise<unknown>
export type TuneTask = {
  sizes: number[]
  loadMs: number
  threadsMax: number
  budgetMs: number
  /** The model loaded with so many threads; as it was before it is of no use any more. */
  open(threads: number): Promise<Prepare>
  /** What is known after each run: whatever ends this process later, it holds. */
  onMeasured(measured: Measured): void
}

/** Throws what the model throws at a size that it does not take; `onMeasured` has heard of the others. */
export async function tune(task: TuneTask): Promise<void> {
  const endsMs = performance.now() + task.budgetMs
  const curve: CurvePoint[] = []
  for (const threads of threadCounts(task.threadsMax)) {
    const left = endsMs - performance.now()
    if (curve.length > 0 && left < task.loadMs * 2) return
    const prepare = await task.open(threads)
    for (const rows of task.sizes) {
      const last = curve.at(-1)
      const expectedMs = last?.threads === threads ? (last.runUs * 2) / 1000 : 0
      if (expectedMs * 2 > endsMs - performance.now() || expectedMs * 1000 > RUN_US_MAX * 2) break
      const runUs = await timed(prepare(rows))
      curve.push({ threads, rows, runUs: Math.max(1, Math.round(runUs)) })
      task.onMeasured({ ...best(curve), loadMs: Math.round(task.loadMs), curve })
    }
  }
}

/** The settings that a curve speaks for. */
export function best(curve: readonly CurvePoint[]): Omit<Measured, 'loadMs' | 'curve'> {
  const cores = Math.max(...curve.map(({ threads }) => threads))
  let chosen: CurvePoint | undefined
  for (const threads of new Set(curve.map(point => point.threads))) {
    if (chosen && chosen.runUs < DIVIDED_RUN_US_MIN) break
    const points = curve.filter(point => point.threads === threads)
    const found = smallestOfBest(points)
    const doublings = Math.log2(threads / (chosen?.threads ?? threads))
    const worth = chosen && served(chosen, cores) * PER_DOUBLING ** doublings
    if (worth === undefined || served(found, cores) >= worth) chosen = found
  }
  const { threads, rows, runUs } = chosen!
  return { threads, batchRows: rows, rowUs: Number((runUs / rows).toFixed(2)) }
}

function smallestOfBest(points: CurvePoint[]): CurvePoint {
  const quick = points.filter(({ runUs }, i) => i === 0 || runUs <= RUN_US_MAX)
  const top = Math.max(...quick.map(rate))
  return quick.find(point => rate(point) >= top * NEARLY)!
}

function rate({ rows, runUs }: CurvePoint): number {
  return rows / (runUs + HOP_US)
}

/** Of these rows a µs as many as the cores can serve, where each comes as a request of its own. */
function served(point: CurvePoint, cores: number): number {
  const { threads, rows, runUs } = point
  return Math.min(rate(point), cores / ((threads * runUs) / rows + PATH_US))
}

function threadCounts(max: number): number[] {
  const counts = []
  for (let threads = 1; threads < max; threads *= 2) counts.push(threads)
  return [...counts, max]
}

/** Sizes to try of a model with so many elements in a row of its inputs. */
export function sizesFor({ batching }: Signature, elements: number): number[] {
  if (batching === 'unbatched') return [1]
  return SIZES.filter(size => size === 1 || size * elements <= ELEMENTS_MAX)
}

/** The quickest of a few blocks, in microseconds a run: what disturbs only ever adds. */
async function timed(run: () => Promise<unknown>): Promise<number> {
  // The first run of a size allocates what the later ones use.
  let quickestMs = await block(run, 1)
  const runs = Math.max(1, Math.round(BLOCK_MS / quickestMs))
  const blocks = quickestMs > BLOCK_MS * 10 ? 1 : BLOCKS
  for (let i = 0; i < blocks; i++) quickestMs = Math.min(quickestMs, await block(run, runs))
  return quickestMs * 1000
}

async function block(run: () => Promise<unknown>, runs: number): Promise<number> {
  const began = performance.now()
  for (let i = 0; i < runs; i++) await run()
  return (performance.now() - began) / runs
}
