/** The outputs of a reply of the Open Inference Protocol, JSON or binary, as numbers and texts. */
import type { Output } from '#core/models/rollout/rollout.ts'
import type { Datatype } from '#schemas/signature.ts'
import { elementCount, viewOf } from './tensor.ts'

type Head = {
  name: string
  datatype: Datatype
  shape: number[]
  data?: (number | string | boolean)[]
  parameters?: { binary_data_size?: number }
}

const decoder = new TextDecoder()

/** `jsonLength`: bytes of JSON before the raw tensors; null: all is JSON. */
export function outputsOf(reply: { body: Uint8Array; jsonLength: number | null }): Output[] {
  let at = reply.jsonLength ?? reply.body.length
  const { outputs } = JSON.parse(decoder.decode(reply.body.subarray(0, at))) as { outputs: Head[] }
  return outputs.map(head => {
    const { name, shape } = head
    const size = head.parameters?.binary_data_size
    if (size === undefined) return { name, shape, values: fromJson(head) }
    // A copy, so that numbers lie at multiples of their size.
    const bytes = new Uint8Array(reply.body.subarray(at, at + size))
    at += size
    return { name, shape, values: fromBytes(head, bytes) }
  })
}

/** What is no finite number stands in JSON as its name. */
function fromJson({ datatype, data = [] }: Head): (number | string)[] {
  return data.map(value => (datatype === 'BYTES' ? String(value) : Number(value)))
}

function fromBytes({ datatype, shape }: Head, bytes: Uint8Array): (number | string)[] {
  if (datatype === 'BYTES') return textsOf(bytes)
  const view = viewOf(datatype, bytes.buffer, 0, elementCount(shape))
  if (datatype === 'FP16') return Array.from(view as Uint16Array, half)
  if (datatype === 'BF16') return Array.from(view as Uint16Array, bits => single(bits << 16))
  return Array.from(view as ArrayLike<number | bigint>, Number)
}

function textsOf(bytes: Uint8Array): string[] {
  const view = new DataView(bytes.buffer)
  const texts: string[] = []
  for (let at = 0; at + 4 <= bytes.length; ) {
    const length = view.getUint32(at, true)
    texts.push(decoder.decode(bytes.subarray(at + 4, at + 4 + length)))
    at += 4 + length
  }
  return texts
}

const bits32 = new DataView(new ArrayBuffer(4))

function single(bits: number): number {
  bits32.setInt32(0, bits)
  return bits32.getFloat32(0)
}

/** IEEE 754 half precision: a sign, five bits of exponent, ten of fraction. */
function half(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1
  const exponent = (bits >> 10) & 31
  const fraction = bits & 1_023
  if (exponent === 31) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY
  if (exponent === 0) return sign * fraction * 2 ** -24
  return sign * (1 + fraction / 1_024) * 2 ** (exponent - 15)
}
