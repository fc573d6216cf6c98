/**
 * Rows of tensors: joining those of several callers on the batch axis, and taking each caller's out
 * again. On axis 0 a part is a view of the whole; on another axis its values are strided apart and
 * are copied.
 */
import { allocate, type Tensor, type TensorData } from './tensor.ts'

/** Tensors alike but for their size on `axis`, as one. Of a single tensor: itself. */
export function join(tensors: readonly Tensor[], axis: number): Tensor {
  const first = tensors[0]!
  if (tensors.length === 1) return first
  let rows = 0
  let count = 0
  for (const tensor of tensors) {
    rows += tensor.shape[axis]!
    count += tensor.data.length
  }
  const data = allocate(first.datatype, count)
  const outer = product(first.shape, 0, axis)
  const inner = product(first.shape, axis + 1, first.shape.length)
  const stride = rows * inner
  let at = 0
  for (const tensor of tensors) {
    const run = tensor.shape[axis]! * inner
    for (let o = 0; o < outer; o++) {
      put(data, o * stride + at, outer === 1 ? tensor.data : part(tensor.data, o * run, run))
    }
    at += run
  }
  return {
    name: first.name,
    datatype: first.datatype,
    shape: first.shape.with(axis, rows),
    data,
  }
}

/** Rows `from` up to, not including, `to` on `axis`. */
export function slice(tensor: Tensor, axis: number, from: number, to: number): Tensor {
  const rows = tensor.shape[axis]!
  if (from === 0 && to === rows) return tensor
  const { name, datatype } = tensor
  const shape = tensor.shape.with(axis, to - from)
  const outer = product(tensor.shape, 0, axis)
  const inner = product(tensor.shape, axis + 1, tensor.shape.length)
  const run = (to - from) * inner
  if (outer === 1) return { name, datatype, shape, data: part(tensor.data, from * inner, run) }
  const data = allocate(datatype, outer * run)
  for (let o = 0; o < outer; o++) {
    put(data, o * run, part(tensor.data, (o * rows + from) * inner, run))
  }
  return { name, datatype, shape, data }
}

function part(data: TensorData, from: number, count: number): TensorData {
  return Array.isArray(data) ? data.slice(from, from + count) : data.subarray(from, from + count)
}

function put(target: TensorData, at: number, source: TensorData): void {
  if (Array.isArray(target)) {
    const elements = source as Uint8Array[]
    for (let i = 0; i < elements.length; i++) target[at + i] = elements[i]!
  } else {
    // Both are of one datatype, which the type system cannot see through the union.
    ;(target as Float64Array).set(source as Float64Array, at)
  }
}

function product(shape: readonly number[], from: number, to: number): number {
  let count = 1
  for (let i = from; i < to; i++) count *= shape[i]!
  return count
}
