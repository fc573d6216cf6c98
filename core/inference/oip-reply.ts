/**
 * Replies of the Open Inference Protocol. The JSON is put together around the numbers by hand, because
 * a generic serializer costs more than the inference of a small model.
 */
import type { Signature } from '#schemas/signature.ts'
import { invalid } from './invalid.ts'
import { layoutOf, type OutputRequest, outputHead } from './layout.ts'
import { writeBinary } from './oip-binary.ts'
import { toJson } from './oip-json.ts'
import { byteSize, type Tensor } from './tensor.ts'
import { classify } from './triton/classification.ts'

export type Reply = {
  modelName: string
  modelVersion: string
  /** Echo of the request's id, else one of ours: KServe's client requires a string. */
  id: string
  parameters?: Record<string, string | number | boolean>
  signature: Signature
  /** One tensor for each of `requested`, in its order. */
  outputs: readonly Tensor[]
  requested: readonly OutputRequest[]
}

/** Of outputs as JSON, which is several times as long and is written without a pause. */
export const JSON_OUTPUT_BYTES_MAX = 32 * 2 ** 20
const PAGE_BYTES = 65_536
const encoder = new TextEncoder()
let page = new Uint8Array(PAGE_BYTES)
let pageAt = 0

/**
 * The body, and how many bytes of JSON stand before the raw tensors; null when it is all JSON. Throws
 * `invalid_input` for outputs that are too large to be JSON.
 */
export function encodeReply(given: Reply): { body: Uint8Array; jsonLength: number | null } {
  const reply = given.requested.some(isClassified) ? classified(given) : given
  const { outputs, requested } = reply
  const heads = layoutOf(reply.signature).outputHeads
  let json = `{"model_name":${quote(reply.modelName)},"model_version":${quote(reply.modelVersion)},"id":${quote(reply.id)}`
  if (reply.parameters) json += `,"parameters":${JSON.stringify(reply.parameters)}`
  json += ',"outputs":['
  let binaryBytes = -1
  let jsonBytes = 0
  for (let i = 0; i < requested.length; i++) {
    const tensor = outputs[i]!
    const { name, index, binary, classes } = requested[i]!
    const head = classes === undefined ? heads[index] : outputHead(name, tensor.datatype)
    json += `${i === 0 ? '' : ','}${head}${tensor.shape}`
    const size = byteSize(tensor.data)
    if (binary) {
      binaryBytes = Math.max(binaryBytes, 0) + size
      json += `],"parameters":{"binary_data_size":${size}}}`
    } else {
      jsonBytes += size
      if (jsonBytes > JSON_OUTPUT_BYTES_MAX) refuseSize(tensor.name)
      json += `],"data":[${toJson(tensor)}]}`
    }
  }
  json += ']}'
  return binaryBytes < 0
    ? { body: encode(json), jsonLength: null }
    : mixed(json, binaryBytes, reply)
}

const isClassified = ({ classes }: OutputRequest) => classes !== undefined

/** With classes in the place of those outputs that were asked for as such. */
function classified(reply: Reply): Reply {
  const { outputs, requested, signature } = reply
  return {
    ...reply,
    outputs: outputs.map((tensor, i) => {
      const { index, classes } = requested[i]!
      return classes === undefined ? tensor : classify(tensor, signature.outputs[index]!, classes)
    }),
  }
}

function refuseSize(name: string): never {
  invalid(
    `The outputs up to "${name}" are too large for JSON, which takes ${JSON_OUTPUT_BYTES_MAX} bytes of values: ask for them with the parameter "binary_data_output": true, or send fewer rows.`,
  )
}

function mixed(json: string, binaryBytes: number, { outputs, requested }: Reply) {
  const head = encode(json)
  const body = new Uint8Array(head.length + binaryBytes)
  body.set(head)
  let at = head.length
  for (let i = 0; i < requested.length; i++) {
    if (requested[i]!.binary) at = writeBinary(outputs[i]!.data, body, at)
  }
  return { body, jsonLength: head.length }
}

// Small replies share pages: a buffer of its own costs more than the text that goes into it.
function encode(text: string): Uint8Array {
  const most = text.length * 3
  if (most > PAGE_BYTES / 4) return encoder.encode(text)
  if (pageAt + most > PAGE_BYTES) {
    page = new Uint8Array(PAGE_BYTES)
    pageAt = 0
  }
  const room = page.subarray(pageAt, pageAt + most)
  const { written } = encoder.encodeInto(text, room)
  pageAt += written
  return room.subarray(0, written)
}

const PLAIN = /^[\w .:@/-]*$/
function quote(text: string): string {
  return PLAIN.test(text) ? `"${text}"` : JSON.stringify(text)
}
