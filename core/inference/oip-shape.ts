/** Shapes and row counts of a request against the signature of its model. */
import type { TensorSpec } from '#schemas/signature.ts'
import { invalid, shown } from './invalid.ts'
import { elementCount, type Tensor } from './tensor.ts'

/** The number of elements; refuses a shape that the model does not take. */
export function checkShape(spec: TensorSpec, shape: unknown): number {
  if (!Array.isArray(shape)) {
    invalid(
      `Input "${spec.name}": shape must be an array of sizes like ${wanted(spec)}, not ${shown(shape)}.`,
    )
  }
  for (const dim of shape) {
    if (!Number.isSafeInteger(dim) || dim < 0) {
      invalid(
        `Input "${spec.name}": shape holds ${shown(dim)}; each dimension is an integer from 0.`,
      )
    }
  }
  let fits = shape.length === spec.shape.length
  for (let i = 0; fits && i < shape.length; i++) {
    fits = spec.shape[i] === -1 || spec.shape[i] === shape[i]
  }
  if (!fits) {
    invalid(
      `Input "${spec.name}" has shape [${shape}]; the model takes ${wanted(spec)}, where -1 is any size.`,
    )
  }
  const count = elementCount(shape)
  if (count < 0)
    invalid(`Input "${spec.name}": shape [${shape}] has more elements than can be held.`)
  return count
}

/** Rows of the request: the size that all inputs have on their batch axes; 1 where none has such an axis. */
export function countRows(specs: readonly TensorSpec[], inputs: readonly Tensor[]): number {
  let rows = -1
  let from = ''
  for (let i = 0; i < specs.length; i++) {
    const { batch_axis: axis, name } = specs[i]!
    if (axis === null) continue
    const own = inputs[i]!.shape[axis]!
    if (rows === -1) {
      rows = own
      from = name
    } else if (own !== rows) {
      invalid(
        `Input "${name}" has ${own} rows (axis ${axis} of its shape), input "${from}" has ${rows}; all inputs of a request have the same number of rows.`,
      )
    }
  }
  return rows === -1 ? 1 : rows
}

function wanted(spec: TensorSpec): string {
  return `[${spec.shape}]`
}
