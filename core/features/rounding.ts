/** Exact numbers, and their one correct rounding to a double (IEEE 754, to nearest, ties to even). */

/** Doubles are whole multiples of 2^-1074: a finite double is this many of them. */
export const UNIT_BITS = 1074
const MANTISSA_BITS = 53
const SAFE = BigInt(Number.MAX_SAFE_INTEGER)
const view = new DataView(new ArrayBuffer(8))

/** A finite double as a whole number of units of 2^-1074. */
export function unitsOf(value: number): bigint {
  view.setFloat64(0, value)
  const bits = view.getBigUint64(0)
  const exponent = Number((bits >> 52n) & 0x7ffn)
  const fraction = bits & 0xfffffffffffffn
  const units = exponent === 0 ? fraction : (fraction | 0x10000000000000n) << BigInt(exponent - 1)
  return bits >> 63n === 1n ? -units : units
}

/** The double nearest to numerator / denominator; infinite where none is near. The denominator is positive. */
export function nearest(numerator: bigint, denominator: bigint): number {
  if (numerator === 0n) return 0
  const [a, b] = [Number(numerator), Number(denominator)]
  // Of two numbers that doubles hold exactly, division gives just that.
  if (Number.isSafeInteger(a) && Number.isSafeInteger(b)) return a / b
  const size = numerator < 0n ? -numerator : numerator
  // Of two doubles the processor's own quotient is the nearest.
  if (size <= SAFE && denominator <= SAFE) return Number(numerator) / Number(denominator)
  // Some bits more than a double has, and whether anything came after them.
  const shift = bitsOf(denominator) - bitsOf(size) + MANTISSA_BITS + 2
  const [dividend, divisor] =
    shift >= 0 ? [size << BigInt(shift), denominator] : [size, denominator << BigInt(-shift)]
  const quotient = dividend / divisor
  const isMore = dividend % divisor !== 0n
  const drop = Math.max(bitsOf(quotient) - MANTISSA_BITS, shift - UNIT_BITS)
  const mantissa = rounded(quotient, drop, isMore)
  const value = Number(mantissa) * 2 ** (drop - shift)
  return numerator < 0n ? -value : value
}

function rounded(quotient: bigint, drop: number, isMore: boolean): bigint {
  if (drop <= 0) return quotient << BigInt(-drop)
  const whole = quotient >> BigInt(drop)
  const rest = quotient & ((1n << BigInt(drop)) - 1n)
  const half = 1n << BigInt(drop - 1)
  const isUp = rest > half || (rest === half && (isMore || (whole & 1n) === 1n))
  return isUp ? whole + 1n : whole
}

function bitsOf(value: bigint): number {
  const hex = value.toString(16)
  return hex.length * 4 - Math.clz32(Number.parseInt(hex[0]!, 16)) + 28
}
