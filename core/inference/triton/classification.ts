/**
 * Triton's classification extension: of an output its largest values, each as the text "score:index", in
 * falling order. Of equal ones the lower index comes first, and what is no number comes last.
 */
import type { Datatype, TensorSpec } from '#schemas/signature.ts'
import { invalid, shown } from '../invalid.ts'
import type { Tensor } from '../tensor.ts'

/** Up to here the best are kept in order while the values are read; beyond, all of them are sorted. */
const KEPT_MAX = 64
const encoder = new TextEncoder()
const word = new DataView(new ArrayBuffer(4))

/** How many classes an output is asked for. Throws `invalid_input` where that makes no sense. */
export function classesOf(spec: TensorSpec, asked: unknown): number {
  const { name, datatype, batch_axis } = spec
  if (!Number.isSafeInteger(asked) || (asked as number) < 1) {
    invalid(`Output "${name}": classification is ${shown(asked)}; it must be a number from 1.`)
  }
  if (datatype === 'BYTES')
    invalid(`Output "${name}" is BYTES, which has no scores to classify by.`)
  if (batch_axis !== null && batch_axis !== 0) {
    invalid(
      `Output "${name}" has its rows on axis ${batch_axis}; classification takes rows on axis 0 alone.`,
    )
  }
  return asked as number
}

/** BYTES `[rows, k]`, or `[k]` of an output without rows; k is at most as many values as there are. */
export function classify(tensor: Tensor, spec: TensorSpec, classes: number): Tensor {
  const { name, datatype, shape } = tensor
  const values = tensor.data as Float64Array
  const rows = spec.batch_axis === 0 ? shape[0]! : 1
  const width = rows === 0 ? 0 : values.length / rows
  const k = Math.min(classes, width)
  const score = scorer(datatype)
  const data: Uint8Array[] = []
  for (let row = 0; row < rows; row++) {
    for (const i of best(i => score(values[row * width + i]!), width, k)) {
      data.push(encoder.encode(`${scoreText(values[row * width + i]!, datatype)}:${i}`))
    }
  }
  return { name, datatype: 'BYTES', shape: spec.batch_axis === 0 ? [rows, k] : [k], data }
}

/** Indices of the k largest of n scores. */
function best(score: (i: number) => number | bigint, n: number, k: number): number[] {
  const isBefore = (a: number, b: number) => {
    const [x, y] = [score(a), score(b)]
    return x > y || (x === y && a < b)
  }
  if (k > KEPT_MAX) {
    return Array.from({ length: n }, (_, i) => i)
      .sort((a, b) => (isBefore(a, b) ? -1 : 1))
      .slice(0, k)
  }
  const kept: number[] = []
  for (let i = 0; i < n; i++) {
    if (kept.length === k && !isBefore(i, kept[k - 1]!)) continue
    let at = kept.length
    while (at > 0 && isBefore(i, kept[at - 1]!)) at--
    kept.splice(at, 0, i)
    if (kept.length > k) kept.pop()
  }
  return kept
}

/** What values are compared by: no number is less than all of them. */
function scorer(datatype: Datatype): (value: number) => number {
  const read = datatype === 'FP16' ? half : datatype === 'BF16' ? brain : (value: number) => value
  return value => {
    const score = read(value)
    return Number.isNaN(score) ? Number.NEGATIVE_INFINITY : score
  }
}

/** Six digits after the point for what has a fraction, as C prints it. */
function scoreText(value: number, datatype: Datatype): string {
  if (!['FP16', 'BF16', 'FP32', 'FP64'].includes(datatype)) return String(value)
  const number = datatype === 'FP16' ? half(value) : datatype === 'BF16' ? brain(value) : value
  if (Number.isNaN(number)) return 'nan'
  if (!Number.isFinite(number)) return number > 0 ? 'inf' : '-inf'
  // Past this `toFixed` would write an exponent.
  return Math.abs(number) < 1e21 ? number.toFixed(6) : `${BigInt(number)}.000000`
}

/** IEEE 754 binary16 from its bits. */
function half(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1
  const exponent = (bits >> 10) & 0x1f
  const fraction = bits & 0x3ff
  if (exponent === 0x1f) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY
  if (exponent === 0) return sign * fraction * 2 ** -24
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15)
}

/** bfloat16: the upper half of a binary32. */
function brain(bits: number): number {
  word.setUint32(0, bits << 16)
  return word.getFloat32(0)
}
