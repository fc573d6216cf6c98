/** One run for several requests: their inputs joined on the batch axes, the outputs taken apart again. */
import { join, slice } from '#core/inference/rows.ts'
import type { Tensor } from '#core/inference/tensor.ts'
import type { Signature } from '#schemas/signature.ts'

/** An output does not have as many rows as went in: whose they are cannot be known. */
export class RowsDiffer extends Error {}

export function joinInputs(
  signature: Signature,
  requests: readonly (readonly Tensor[])[],
): Tensor[] {
  const first = requests[0]!
  if (requests.length === 1) return [...first]
  return first.map((input, i) => {
    const axis = signature.inputs[i]!.batch_axis
    return axis === null
      ? input
      : join(
          requests.map(inputs => inputs[i]!),
          axis,
        )
  })
}

/** The rows of all inputs from `from` up to `to`. */
export function sliceInputs(
  signature: Signature,
  inputs: readonly Tensor[],
  from: number,
  to: number,
) {
  return inputs.map((input, i) => {
    const axis = signature.inputs[i]!.batch_axis
    return axis === null ? input : slice(input, axis, from, to)
  })
}

/** Where the rows of each output lie, or null where it has none. */
export function axesOf(signature: Signature, names: readonly string[]): (number | null)[] {
  return names.map(name => signature.outputs.find(o => o.name === name)?.batch_axis ?? null)
}

export function checkRows(outputs: readonly Tensor[], axes: (number | null)[], rows: number): void {
  outputs.forEach((output, i) => {
    const axis = axes[i]!
    if (axis !== null && output.shape[axis] !== rows) {
      throw new RowsDiffer(`output ${output.name} has shape [${output.shape}] for ${rows} rows`)
    }
  })
}

/** Each request's own rows of the outputs. */
export function takeApart(
  outputs: readonly Tensor[],
  axes: (number | null)[],
  rows: number[],
): Tensor[][] {
  let from = 0
  return rows.map(count => {
    const to = from + count
    const own = outputs.map((output, i) => {
      const axis = axes[i]!
      return axis === null ? output : slice(output, axis, from, to)
    })
    from = to
    return own
  })
}

/** Outputs of consecutive parts of one request, as if it had run whole. */
export function putTogether(parts: readonly Tensor[][], axes: (number | null)[]): Tensor[] {
  return axes.map((axis, i) => {
    if (axis === null) return parts[0]![i]!
    return join(
      parts.map(outputs => outputs[i]!),
      axis,
    )
  })
}
