/** Dividing what was measured once among those who caused it, so that the parts are integers and add up. */

/** `total` (an integer) in proportion to `weights`, by largest remainder; the first wins a tie. */
export function shares(total: number, weights: readonly number[]): number[] {
  let sum = 0
  for (const weight of weights) sum += weight
  if (weights.length === 1 || sum === 0) return weights.map((_, i) => (i === 0 ? total : 0))
  const parts = weights.map(weight => Math.floor((total * weight) / sum))
  let left = total
  for (const part of parts) left -= part
  if (left === 0) return parts
  const byRemainder = weights
    .map((weight, i) => ({ i, remainder: (total * weight) % sum }))
    .sort((a, b) => b.remainder - a.remainder || a.i - b.i)
  for (let k = 0; k < left; k++) parts[byRemainder[k]!.i]! += 1
  return parts
}
