/** The order of values, as every engine here has it. */

/** By Unicode code point, which is the order of UTF-8 bytes; JavaScript's own order is that of UTF-16. */
export function compareText(a: string, b: string): number {
  if (a === b) return 0
  const length = Math.min(a.length, b.length)
  for (let i = 0; i < length; i++) {
    const [x, y] = [a.charCodeAt(i), b.charCodeAt(i)]
    if (x === y) continue
    // A surrogate stands for a code point above all others of one unit.
    const [high, low] = [isSurrogate(x), isSurrogate(y)]
    if (high !== low) return high ? 1 : -1
    return x < y ? -1 : 1
  }
  return a.length < b.length ? -1 : 1
}

function isSurrogate(unit: number): boolean {
  return unit >= 0xd800 && unit <= 0xdfff
}

/** Compares `a × 10^-scaleA` with `b × 10^-scaleB` without rounding. */
export function compareScaled(a: number, scaleA: number, b: number, scaleB: number): number {
  if (scaleA === scaleB) return Math.sign(a - b)
  const scale = Math.max(scaleA, scaleB)
  const [x, y] = [a * 10 ** (scale - scaleA), b * 10 ** (scale - scaleB)]
  if (Number.isSafeInteger(x) && Number.isSafeInteger(y)) return Math.sign(x - y)
  const wide = BigInt(a) * 10n ** BigInt(scale - scaleA) - BigInt(b) * 10n ** BigInt(scale - scaleB)
  return wide === 0n ? 0 : wide < 0n ? -1 : 1
}
