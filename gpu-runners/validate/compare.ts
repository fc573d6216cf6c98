/** Whether rows of a batch are the answers that they get alone: to the bit, within a tolerance, or not. */

import type { Batching, Datatype } from '#schemas/signature.ts'
import { float16Value } from './float16.ts'

export type Elements = ArrayLike<number | bigint | string>
export type Output = { dims: readonly number[]; data: Elements }

/** Half precision has three decimal digits, so its sums differ sooner. */
const TOLERANCE: Partial<Record<Datatype, number>> = { FP16: 5e-3, FP32: 1e-4, FP64: 1e-4 }
const ORDER: Batching[] = ['invariant', 'shape_sensitive', 'unbatched']

/** The worse of two. */
export function worse(a: Batching, b: Batching): Batching {
  return ORDER[Math.max(ORDER.indexOf(a), ORDER.indexOf(b))]!
}

/** Compares row `row` of a batched output along `axis` with the output of a lone run of that row. */
export function compareRow(
  batched: Output,
  row: number,
  lone: Output,
  { axis, datatype }: { axis: number; datatype: Datatype },
): Batching {
  const inner = batched.dims.slice(axis + 1).reduce((a, b) => a * b, 1)
  const outer = batched.dims.slice(0, axis).reduce((a, b) => a * b, 1)
  const rows = batched.dims[axis]!
  if (lone.data.length !== inner * outer) return 'unbatched'
  let found: Batching = 'invariant'
  for (let o = 0; o < outer; o++) {
    for (let i = 0; i < inner; i++) {
      const a = batched.data[(o * rows + row) * inner + i]!
      const b = lone.data[o * inner + i]!
      if (Object.is(a, b)) continue
      if (!isClose(a, b, datatype)) return 'unbatched'
      found = 'shape_sensitive'
    }
  }
  return found
}

export function isClose(a: unknown, b: unknown, datatype: Datatype): boolean {
  const tolerance = TOLERANCE[datatype]
  if (typeof a !== 'number' || typeof b !== 'number' || tolerance === undefined) return false
  const [left, right] = datatype === 'FP16' ? [float16Value(a), float16Value(b)] : [a, b]
  if (Number.isNaN(left) || Number.isNaN(right)) return Number.isNaN(left) && Number.isNaN(right)
  return left === right || Math.abs(left - right) <= tolerance + tolerance * Math.abs(right)
}
