/**
 * The exact sum of doubles, whatever their order: kept as doubles that do not overlap (Shewchuk, "Adaptive
 * Precision Floating-Point Arithmetic", 1997) and rounded once, at the end.
 */
import { unitsOf } from './rounding.ts'

/** Below this, sums of a billion of them do not overflow. */
const LARGE = 2 ** 990

export class ExactSum {
  /** Non-overlapping, smallest first. */
  readonly #parts: number[] = []
  /** Of those that are so large that adding them as doubles might overflow. */
  #large = 0n

  add(value: number): void {
    if (Math.abs(value) >= LARGE) {
      this.#large += unitsOf(value)
      return
    }
    const parts = this.#parts
    let kept = 0
    let x = value
    for (let i = 0; i < parts.length; i++) {
      let y = parts[i]!
      if (Math.abs(x) < Math.abs(y)) [x, y] = [y, x]
      const high = x + y
      const low = y - (high - x)
      if (low !== 0) parts[kept++] = low
      x = high
    }
    parts[kept] = x
    parts.length = kept + 1
  }

  /** In units of 2^-1074. */
  units(): bigint {
    return this.#parts.reduce((sum, part) => sum + unitsOf(part), this.#large)
  }
}
