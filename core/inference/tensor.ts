/**
 * Tensors as every place holds them: row-major numbers in one typed array, or one byte string an
 * element for BYTES. Sizes are guarded against overflow, because shapes come from strangers.
 */
import type { Datatype } from '#schemas/signature.ts'

export type TensorData =
  | Uint8Array
  | Uint16Array
  | Uint32Array
  | BigUint64Array
  | Int8Array
  | Int16Array
  | Int32Array
  | BigInt64Array
  | Float32Array
  | Float64Array
  | Uint8Array[]

/** FP16 and BF16 are held as their bits (Uint16Array), BOOL as 0 and 1 (Uint8Array). */
export type Tensor = { name: string; datatype: Datatype; shape: number[]; data: TensorData }

/** Bytes of one element; 0 for BYTES, whose elements each have a length of their own. */
export const ELEMENT_BYTES: Record<Datatype, number> = {
  BOOL: 1,
  UINT8: 1,
  UINT16: 2,
  UINT32: 4,
  UINT64: 8,
  INT8: 1,
  INT16: 2,
  INT32: 4,
  INT64: 8,
  FP16: 2,
  BF16: 2,
  FP32: 4,
  FP64: 8,
  BYTES: 0,
}

/** Elements past which no tensor is addressed: far above any body limit, far below 2^53. */
export const ELEMENTS_MAX = 2 ** 40

/** The number of elements of a shape; -1 if a dimension is no size or the product passes the bound. */
export function elementCount(shape: readonly number[]): number {
  let count = 1
  for (const dim of shape) {
    if (!(dim >= 0) || !Number.isInteger(dim)) return -1
    count *= dim
    if (count > ELEMENTS_MAX) return -1
  }
  return count
}

/** The array that holds `count` elements of a datatype, all zero; for BYTES all empty. */
export function allocate(datatype: Datatype, count: number): TensorData {
  if (datatype === 'BYTES') return new Array<Uint8Array>(count).fill(EMPTY)
  return viewOf(datatype, new ArrayBuffer(count * ELEMENT_BYTES[datatype]), 0, count)
}

/** Elements that lie in a buffer as the bytes of the protocol do; `at` is a multiple of their size. */
export function viewOf(
  datatype: Exclude<Datatype, 'BYTES'>,
  buffer: ArrayBufferLike,
  at: number,
  count: number,
): Exclude<TensorData, Uint8Array[]> {
  switch (datatype) {
    case 'FP32':
      return new Float32Array(buffer, at, count)
    case 'FP64':
      return new Float64Array(buffer, at, count)
    case 'INT64':
      return new BigInt64Array(buffer, at, count)
    case 'UINT64':
      return new BigUint64Array(buffer, at, count)
    case 'INT32':
      return new Int32Array(buffer, at, count)
    case 'UINT32':
      return new Uint32Array(buffer, at, count)
    case 'INT16':
      return new Int16Array(buffer, at, count)
    case 'UINT16':
    case 'FP16':
    case 'BF16':
      return new Uint16Array(buffer, at, count)
    case 'INT8':
      return new Int8Array(buffer, at, count)
    case 'UINT8':
    case 'BOOL':
      return new Uint8Array(buffer, at, count)
  }
}

/** The bytes under a tensor of numbers, without a copy. */
export function bytesOf(data: Exclude<TensorData, Uint8Array[]>): Uint8Array {
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
}

/** Bytes of the data as the protocol counts them: a BYTES element is its length (4 bytes) and itself. */
export function byteSize(data: TensorData): number {
  if (!Array.isArray(data)) return data.byteLength
  let size = 0
  for (const element of data) size += 4 + element.byteLength
  return size
}

const EMPTY = new Uint8Array(0)
