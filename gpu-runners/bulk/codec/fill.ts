/**
 * A row's value into the typed array of its batch. Plain numbers go straight in; whatever is odd about
 * a value (a named float, a long integer, a fraction where none may be) is left to the reader of the
 * online protocol, so that both take and refuse the same and say it in the same words.
 */
import { invalid, shown } from '#core/inference/invalid.ts'
import { fromJson } from '#core/inference/oip-json.ts'
import type { TensorData } from '#core/inference/tensor.ts'
import type { TensorSpec } from '#schemas/signature.ts'
import { encodeHalf } from './half.ts'

/** The shape that the value has or, flat, must have; -1 in `spec.shape` takes any size. */
export function shapeOf(spec: TensorSpec, value: unknown): number[] {
  const { shape } = spec
  const nested = nestedShape(value, shape.length + 1)
  if (nested.length === shape.length) return checked(spec, nested)
  if (nested.length > 1) {
    if (nested.length < shape.length && !shape.includes(-1)) return shape
    invalid(`${named(spec)} is nested as [${nested}]; the model takes [${shape}] a row.`)
  }
  if (nested.length === 0 && !shape.every(size => Math.abs(size) === 1)) {
    invalid(
      `${named(spec)} is ${shown(value)}; the model takes an array of shape [${shape}] a row.`,
    )
  }
  return flatShape(spec, nested[0] ?? 1)
}

/** Writes `count` values of the given shape from `at` on. */
export function fill(
  spec: TensorSpec,
  shape: number[],
  count: number,
  value: unknown,
  target: TensorData,
  at: number,
): void {
  const flat = !Array.isArray(value) || !Array.isArray(value[0])
  const end = at + count
  if (quick(spec, value, flat ? null : shape, target, at, end) === end) return
  const given = Array.isArray(value) ? value : [value]
  if (spec.datatype === 'FP16') {
    const floats = fromJson({ ...spec, datatype: 'FP32' }, shape, count, given) as Float32Array
    encodeHalf(spec, floats, target as Uint16Array, at)
    return
  }
  const exact = fromJson(spec, shape, count, given)
  if (Array.isArray(target)) {
    for (const [i, element] of (exact as Uint8Array[]).entries()) target[at + i] = element
  } else {
    // Both are of one datatype, which the type system cannot see through the union.
    ;(target as Float64Array).set(exact as Float64Array, at)
  }
}

/** The first index behind what was written; another than `end` when the value is not plain. */
function quick(
  { datatype }: TensorSpec,
  value: unknown,
  shape: number[] | null,
  target: TensorData,
  at: number,
  end: number,
): number {
  switch (datatype) {
    case 'FP32':
      return floats(value, shape, 0, target as Float32Array, at, end, FP32_SAFE)
    case 'FP64':
      return floats(value, shape, 0, target as Float64Array, at, end, Number.MAX_VALUE)
    case 'INT64':
    case 'UINT64':
      return longs(value, shape, 0, target as BigInt64Array, at, end)
    case 'INT8':
    case 'INT16':
    case 'INT32':
    case 'UINT8':
    case 'UINT16':
    case 'UINT32':
      return integers(value, shape, 0, target as Int32Array, at, end)
    default:
      return -1
  }
}

function floats(
  value: unknown,
  shape: number[] | null,
  depth: number,
  target: Float32Array | Float64Array,
  at: number,
  end: number,
  bound: number,
): number {
  if (typeof value === 'number') {
    if (at >= end || !(value < bound && value > -bound)) return -1
    target[at] = value
    return at + 1
  }
  if (!Array.isArray(value) || (shape && value.length !== shape[depth])) return -1
  for (let i = 0; i < value.length; i++) {
    const item = value[i]
    if (typeof item === 'number' && at < end && item < bound && item > -bound) target[at++] = item
    else {
      at = floats(item, shape, depth + 1, target, at, end, bound)
      if (at < 0) return -1
    }
  }
  return at
}

function integers(
  value: unknown,
  shape: number[] | null,
  depth: number,
  target: Int32Array,
  at: number,
  end: number,
): number {
  if (typeof value === 'number') {
    if (at >= end) return -1
    target[at] = value
    // Not equal after storing: a fraction or out of range.
    return target[at] === value ? at + 1 : -1
  }
  if (!Array.isArray(value) || (shape && value.length !== shape[depth])) return -1
  for (const item of value) {
    at = integers(item, shape, depth + 1, target, at, end)
    if (at < 0) return -1
  }
  return at
}

function longs(
  value: unknown,
  shape: number[] | null,
  depth: number,
  target: BigInt64Array,
  at: number,
  end: number,
): number {
  if (Array.isArray(value)) {
    if (shape && value.length !== shape[depth]) return -1
    for (const item of value) {
      at = longs(item, shape, depth + 1, target, at, end)
      if (at < 0) return -1
    }
    return at
  }
  if (at >= end) return -1
  const whole = Number.isSafeInteger(value) ? BigInt(value as number) : value
  if (typeof whole !== 'bigint') return -1
  target[at] = whole
  return target[at] === whole ? at + 1 : -1
}

/** The sizes that the first elements show, down to `depthMax` levels. */
function nestedShape(value: unknown, depthMax: number): number[] {
  const sizes: number[] = []
  for (let level = value; Array.isArray(level) && sizes.length < depthMax; level = level[0]) {
    sizes.push(level.length)
  }
  return sizes
}

function checked(spec: TensorSpec, sizes: number[]): number[] {
  for (let i = 0; i < sizes.length; i++) {
    if (spec.shape[i] !== -1 && spec.shape[i] !== sizes[i]) {
      invalid(`${named(spec)} has shape [${sizes}]; the model takes [${spec.shape}] a row.`)
    }
  }
  return sizes
}

/** A scalar or a flat array: one open dimension follows from the number of values. */
function flatShape(spec: TensorSpec, count: number): number[] {
  const { shape } = spec
  const open = shape.filter(size => size === -1).length
  const fixed = shape.reduce((product, size) => (size === -1 ? product : product * size), 1)
  if (open === 0) {
    if (fixed === count) return shape
    invalid(`${named(spec)} has ${count} values; the model takes ${fixed}, shape [${shape}] a row.`)
  }
  if (count === 1 && fixed === 1) return shape.map(Math.abs)
  if (open > 1 || fixed === 0 || count % fixed !== 0) {
    invalid(
      `${named(spec)} is ${count} values without their shape; the model takes [${shape}] a row, give nested arrays.`,
    )
  }
  return shape.map(size => (size === -1 ? count / fixed : size))
}

function named(spec: TensorSpec): string {
  return `Input ${shown(spec.name)}`
}

// Below half a step under the largest FP32: what certainly rounds to a finite one.
const FP32_SAFE = 3.4028234663852886e38
