/** Numbers from a seed, so that a trace can be had again. */

export type Random = {
  /** From 0 up to, not including, 1. */
  next(): number
  exponential(mean: number): number
  logNormal(median: number, sigma: number): number
  /** Pareto with a least value and a most, inclusive of neither's being certain. */
  pareto(least: number, alpha: number, most: number): number
}

/** mulberry32 (Tommy Ettinger), a public-domain generator of 32 bits. */
export function randomOf(seed: number): Random {
  let state = seed >>> 0
  function next(): number {
    state = (state + 0x6d2b79f5) >>> 0
    let t = state
    t = Math.imul(t ^ (t >>> 15), t | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
  const exponential = (mean: number) => -mean * Math.log(1 - next())
  return {
    next,
    exponential,
    logNormal(median, sigma) {
      const normal = Math.sqrt(-2 * Math.log(1 - next())) * Math.cos(2 * Math.PI * next())
      return median * Math.exp(sigma * normal)
    },
    pareto: (least, alpha, most) => Math.min(most, least / (1 - next()) ** (1 / alpha)),
  }
}
