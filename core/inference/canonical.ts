/**
 * One form for what a request asks of a model: the same tensors and the same outputs give the same bytes,
 * whether they came as JSON or binary, and nothing else does. What only says how to answer (ids, the form
 * of the outputs) is not in it.
 */

import type { InferRequest } from './oip.ts'
import { writeBinary } from './oip-binary.ts'
import { byteSize } from './tensor.ts'

const encoder = new TextEncoder()

/** Names and datatypes follow from the model's digest: `u32 length of the shapes | shapes | tensors`. */
export function canonicalBytes({ inputs, outputs }: InferRequest): Uint8Array {
  const shapes = inputs.map(({ shape }) => shape)
  const head = encoder.encode(JSON.stringify([shapes, outputs.map(({ index }) => index)]))
  const size = inputs.reduce((sum, { data }) => sum + byteSize(data), 4 + head.length)
  const bytes = new Uint8Array(size)
  new DataView(bytes.buffer).setUint32(0, head.length, true)
  bytes.set(head, 4)
  let at = 4 + head.length
  for (const { data } of inputs) at = writeBinary(data, bytes, at)
  return bytes
}
