/** A reply of the Open Inference Protocol back to tensors, as `encodeReply` wrote them. */
import type { Signature } from '#schemas/signature.ts'
import type { OutputRequest } from './layout.ts'
import { fromBinary } from './oip-binary.ts'
import { fromJson, parseJson } from './oip-json.ts'
import { elementCount, type Tensor, type TensorData } from './tensor.ts'

type Output = { shape: number[]; data?: unknown; parameters?: { binary_data_size?: number } }

/** The outputs, in the order of `requested`, to the bit; nothing of them is a view of the body. */
export function decodeReply(given: {
  body: Uint8Array
  jsonLength: number | null
  signature: Signature
  requested: readonly OutputRequest[]
}): Tensor[] {
  const { body, jsonLength, signature, requested } = given
  const isWide = signature.outputs.some(({ datatype }) => /^U?INT64$/.test(datatype))
  const json = jsonLength === null ? body : body.subarray(0, jsonLength)
  const { outputs } = parseJson(json, isWide) as { outputs: Output[] }
  let at = jsonLength ?? body.length
  return requested.map(({ index, name }, i) => {
    const spec = signature.outputs[index]!
    const { shape, data, parameters } = outputs[i]!
    const count = elementCount(shape)
    const { binary_data_size: size } = parameters ?? {}
    if (size === undefined) {
      return { name, datatype: spec.datatype, shape, data: fromJson(spec, shape, count, data) }
    }
    const view = fromBinary(spec, shape, count, body, at, size)
    at += size
    return { name, datatype: spec.datatype, shape, data: copyOf(view) }
  })
}

/** What is kept must not keep the network's buffer, which holds other callers' bytes too. */
function copyOf(data: TensorData): TensorData {
  return Array.isArray(data) ? data.map(element => new Uint8Array(element)) : data.slice()
}
