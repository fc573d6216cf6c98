/** Chance with a seed: the same seed gives the same world, on every machine. */

export type Random = {
  /** In [0, 1). */
  next(): number
  int(from: number, to: number): number
  pick<T>(items: readonly T[]): T
  /** Standard normal, by the polar method of Marsaglia (1964). */
  normal(): number
  /** With mean 1. */
  exponential(): number
}

/** SplitMix32, a 32-bit relative of SplitMix64 (Steele, Lea, Flood 2014). */
export function randomOf(seed: number): Random {
  let state = seed >>> 0
  const next = () => {
    state = (state + 0x9e3779b9) >>> 0
    let z = state
    z = Math.imul(z ^ (z >>> 16), 0x21f0aaad)
    z = Math.imul(z ^ (z >>> 15), 0x735a2d97)
    return ((z ^ (z >>> 15)) >>> 0) / 2 ** 32
  }
  const normal = (): number => {
    const [x, y] = [2 * next() - 1, 2 * next() - 1]
    const s = x * x + y * y
    return s === 0 || s >= 1 ? normal() : x * Math.sqrt((-2 * Math.log(s)) / s)
  }
  return {
    next,
    normal,
    int: (from, to) => from + Math.floor(next() * (to - from + 1)),
    pick: items => items[Math.floor(next() * items.length)]!,
    exponential: () => -Math.log(1 - next()),
  }
}
