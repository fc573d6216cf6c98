/** Many rows of one owner through a model, for bulk work: those that fail are named, the others come out. */
import { AppError } from '#core/error.ts'
import type { Tensor } from '#core/inference/tensor.ts'
import type { LoadedModel } from '#gpu-runners/engines/engine.ts'
import { rowsOf } from './ask.ts'
import { bisect } from './bisect.ts'
import { axesOf, checkRows, RowsDiffer, sliceInputs } from './joined.ts'

export type RowBlock = {
  /** Rows `from` up to, not including, `to` of the input. */
  from: number
  to: number
  outputs: Tensor[]
  computeUs: number
}
export type RowsResult = {
  /** In the order of the rows; rows that failed lie between them. */
  blocks: RowBlock[]
  failures: { row: number; error: AppError }[]
}

/**
 * Runs all rows of `inputs` at once, and divides them only where the model fails. A model that is
 * `unbatched` gets row after row. Throws what is not a row's own fault (the model was unloaded, the
 * signal aborted): then nothing is said of any row.
 */
export async function runRows(
  model: LoadedModel,
  inputs: readonly Tensor[],
  outputs: readonly string[],
  signal?: AbortSignal,
): Promise<RowsResult> {
  const { signature } = model
  const result: RowsResult = { blocks: [], failures: [] }
  const axes = axesOf(signature, outputs)
  let together = signature.batching !== 'unbatched'

  async function run(range: readonly number[]): Promise<void> {
    signal?.throwIfAborted()
    const from = range[0]!
    const to = range.at(-1)! + 1
    const done = await model.run(sliceInputs(signature, inputs, from, to), outputs)
    if (to - from > 1) checkRows(done.outputs, axes, to - from)
    result.blocks.push({ from, to, ...done })
  }
  const fail = (row: number, error: unknown) => {
    if (error instanceof RowsDiffer) together = false
    else if (error instanceof AppError && error.code === 'inference_failed') {
      result.failures.push({ row, error })
    } else throw error
  }

  const rows = Array.from({ length: rowsOf(signature, inputs) }, (_, row) => row)
  if (together) await bisect(rows, run, fail)
  if (!together) {
    result.blocks = []
    result.failures = []
    for (const row of rows) await bisect([row], run, fail)
  }
  return result
}
