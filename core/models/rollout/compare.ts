/** One version's answer beside another's, value by value. */
import type { Compared, Difference, Moments, Tolerance } from '#schemas/rollout.ts'
import type { Signature } from '#schemas/signature.ts'

/** One output of a reply, in row-major order. */
export type Output = { name: string; shape: number[]; values: (number | string)[] }

/** Of one output's values; texts have none. */
export function momentsOf({ values }: Output): Moments {
  const moments = { n: 0, odd: 0, sum: 0, squares: 0 }
  for (const value of values) {
    if (typeof value !== 'number') continue
    if (!Number.isFinite(value)) moments.odd++
    else {
      moments.n++
      moments.sum += value
      moments.squares += value * value
    }
  }
  return moments
}

/**
 * Rows whose values are further apart than the tolerance, in all and by tensor. An output that one of
 * them lacks, or that has another shape, differs in every row.
 */
export function compare(
  stable: readonly Output[],
  candidate: readonly Output[],
  signature: Signature,
  tolerance: Tolerance,
): Compared {
  const rows = rowsOf(stable, signature)
  const differing = new Set<number>()
  const tensors: Record<string, Difference> = {}
  for (const a of stable) {
    const b = candidate.find(({ name }) => name === a.name)
    const axis = signature.outputs.find(({ name }) => name === a.name)?.batch_axis ?? null
    const found = differences(a, b, axis, rows, tolerance)
    for (const row of found.rows) differing.add(row)
    tensors[a.name] = { max_abs_diff: found.max, rows_differing: found.rows.size }
  }
  return { requests: 1, rows, rows_differing: differing.size, tensors }
}

function differences(
  a: Output,
  b: Output | undefined,
  axis: number | null,
  rows: number,
  tolerance: Tolerance,
): { rows: Set<number>; max: number } {
  const all = () => new Set(Array.from({ length: rows }, (_, row) => row))
  const isAlike =
    b?.shape.length === a.shape.length && a.shape.every((size, i) => size === b.shape[i])
  if (!b || !isAlike) return { rows: all(), max: 0 }
  const stride = axis === null ? 1 : a.shape.slice(axis + 1).reduce((n, size) => n * size, 1)
  const found = new Set<number>()
  let max = 0
  let isShared = false
  for (let i = 0; i < a.values.length; i++) {
    const [x, y] = [a.values[i]!, b.values[i]!]
    if (typeof x === 'number' && typeof y === 'number') {
      const distance = Math.abs(x - y)
      if (Number.isFinite(distance)) max = Math.max(max, distance)
      if (isNear(x, y, distance, tolerance)) continue
    } else if (x === y) continue
    if (axis === null) isShared = true
    else found.add(Math.floor(i / stride) % a.shape[axis]!)
  }
  return { rows: isShared ? all() : found, max }
}

function isNear(x: number, y: number, distance: number, { absolute, relative }: Tolerance) {
  if (Number.isFinite(distance)) return distance <= absolute + relative * Math.abs(x)
  // Infinities of one sign, or no numbers on both sides.
  return Object.is(x, y)
}

/** Rows of the request; one where no output has a batch axis. */
function rowsOf(outputs: readonly Output[], signature: Signature): number {
  for (const { name, shape } of outputs) {
    const axis = signature.outputs.find(spec => spec.name === name)?.batch_axis ?? null
    if (axis !== null && shape[axis] !== undefined) return shape[axis]
  }
  return 1
}
