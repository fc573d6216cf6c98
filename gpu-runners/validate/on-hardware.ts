/**
 * A version on the hardware that it asks for: loaded and run in an engine process, with the providers that
 * serve it there, before anyone depends on it. The sandbox has judged it before, on the CPU.
 */
import { AppError } from '#core/error.ts'
import { allocate, elementCount, type Tensor } from '#core/inference/tensor.ts'
import type { Engine, HostedModel, ModelFiles } from '#gpu-runners/engines/engine.ts'
import type { Tuning } from '#schemas/tuning.ts'
import { type Measured, type Prepare, sizesFor, tune } from './tune.ts'

const BUDGET_MS = 5_000
const LANE = 'validate'

export type Tried = { tuning: Measured | undefined; detail: string | null }

/**
 * `shapes`: of one row, by input. `detail` says why it cannot be served here; null: it can. Throws
 * `EngineCrash` when chance may have ended the process.
 */
export async function tryOnHardware(
  engine: Engine,
  files: ModelFiles,
  shapes: Record<string, number[]>,
): Promise<Tried> {
  const names = files.signature.outputs.map(output => output.name)
  let measured: Measured | undefined
  let loaded: HostedModel | null = null
  const prepare: Prepare = rows => {
    const inputs = zeros(files, shapes, rows)
    return () => loaded!.run(inputs, names)
  }
  const began = performance.now()
  try {
    loaded = await engine.load(files, { lane: LANE })
    await prepare(1)()
    const elements = zeros(files, shapes, 1).reduce((sum, { data }) => sum + data.length, 0)
    const loadMs = performance.now() - began
    const sizes = sizesFor(files.signature, elements)
    const onMeasured = (now: Measured) => {
      measured = now
    }
    const open = async () => prepare
    await tune({ sizes, loadMs, threadsMax: 1, budgetMs: BUDGET_MS, open, onMeasured })
    return { tuning: measured, detail: null }
  } catch (error) {
    // A size that it does not take ends the curve.
    if (measured) return { tuning: measured, detail: null }
    const isVerdict =
      error instanceof AppError && ['invalid_model', 'inference_failed'].includes(error.code)
    if (!isVerdict) throw error
    return { tuning: undefined, detail: error.public }
  } finally {
    await loaded?.close()
  }
}

/** Rows of zeros, which are in the range of whatever they may be an index of. */
function zeros({ signature }: ModelFiles, shapes: Record<string, number[]>, rows: number) {
  return signature.inputs.map(({ name, datatype, batch_axis }): Tensor => {
    const shape = shapes[name]!.map((size, axis) => (axis === batch_axis ? rows : size))
    return { name, datatype, shape, data: allocate(datatype, elementCount(shape)) }
  })
}

export function onlyCpu(providers: readonly string[]): boolean {
  return providers.every(provider => provider === 'cpu')
}

export function tuningOn(hardware: string, measured: Measured | undefined): Tuning | undefined {
  return measured && { hardware, ...measured }
}
