/**
 * Numbers of JSON from bytes straight into a typed array, where the result is certain to be what
 * `JSON.parse` and a store would give; whatever is not is left to them. A mantissa of up to 2^53 times or
 * by a power of ten that a double holds is rounded once, so it is exact (Clinger 1990, "How to read
 * floating point numbers accurately"). Longer ones are near; for a float that is enough where everything
 * near it rounds to the same float.
 */
import type { TensorData } from '#core/inference/tensor.ts'
import type { Datatype } from '#schemas/signature.ts'

/**
 * Reads the number at `at`, stores it at `index`, and returns where it ends; -1 when it is left to others.
 * A byte that is none of a number must follow somewhere: nothing looks where the bytes end.
 */
export type ReadNumber = (
  bytes: Uint8Array,
  at: number,
  target: TensorData,
  index: number,
) => number

const POWERS = Float64Array.from({ length: 23 }, (_, power) => Number(`1e${power}`))
const POWER_MAX = 22
/** The relative error of so many digits is far less: two roundings of 2^-53 for each, and three for the power. */
const NEAR = 2 ** -44
const DIGITS_MAX = 30
/** Below half a step under the largest float: what certainly rounds to a finite one. */
const FP32_SAFE = 3.4028234663852886e38

/** Null for datatypes whose elements are no plain numbers. */
export function numberReader(datatype: Datatype): ReadNumber | null {
  switch (datatype) {
    case 'FP32':
      return reader('float')
    case 'FP64':
      return reader('double')
    case 'INT64':
    case 'UINT64':
      return reader('long')
    case 'INT8':
    case 'INT16':
    case 'INT32':
    case 'UINT8':
    case 'UINT16':
    case 'UINT32':
      return reader('integer')
    default:
      return null
  }
}

/** One function from the digits to the store: a number that is handed on becomes an object on the heap. */
function reader(kind: 'float' | 'double' | 'long' | 'integer'): ReadNumber {
  return (bytes, at, target, index) => {
    let byte = bytes[at]!
    const isNegative = byte === 45
    if (isNegative) byte = bytes[++at]!
    if (!(byte >= 48 && byte <= 57)) return -1
    const from = at
    let mantissa = byte - 48
    byte = bytes[++at]!
    if (mantissa > 0) {
      for (; byte >= 48 && byte <= 57; byte = bytes[++at]!) mantissa = mantissa * 10 + (byte - 48)
    }
    // Powers of ten to divide by.
    let scale = 0
    if (byte === 46) {
      byte = bytes[++at]!
      const fraction = at
      for (; byte >= 48 && byte <= 57; byte = bytes[++at]!) mantissa = mantissa * 10 + (byte - 48)
      scale = at - fraction
      if (scale === 0) return -1
    }
    if (at - from > DIGITS_MAX) return -1
    if (byte === 101 || byte === 69) {
      byte = bytes[++at]!
      const isDown = byte === 45
      if (isDown || byte === 43) byte = bytes[++at]!
      if (!(byte >= 48 && byte <= 57)) return -1
      let exponent = 0
      for (; byte >= 48 && byte <= 57; byte = bytes[++at]!) {
        exponent = exponent * 10 + (byte - 48)
        if (exponent > 99) return -1
      }
      scale = isDown ? scale + exponent : scale - exponent
    }
    const isExact = mantissa <= Number.MAX_SAFE_INTEGER && scale <= POWER_MAX
    if (scale < -POWER_MAX) return -1
    if (!isExact && (kind !== 'float' || scale > 2 * POWER_MAX)) return -1
    let value = mantissa
    if (scale < 0) value *= POWERS[0 - scale]!
    else if (scale > POWER_MAX) value = value / POWERS[POWER_MAX]! / POWERS[scale - POWER_MAX]!
    else if (scale > 0) value /= POWERS[scale]!
    if (!isExact && Math.fround(value * (1 - NEAR)) !== Math.fround(value * (1 + NEAR))) return -1
    if (isNegative) value = -value
    if (kind === 'float') {
      target[index] = value
      return value < FP32_SAFE && value > -FP32_SAFE ? at : -1
    }
    if (kind === 'long') {
      if (!Number.isSafeInteger(value)) return -1
      const whole = BigInt(value)
      target[index] = whole
      return target[index] === whole ? at : -1
    }
    target[index] = value
    // Not equal after storing: a fraction or out of range.
    return kind === 'double' || target[index] === value ? at : -1
  }
}
