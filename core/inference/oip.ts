/**
 * The Open Inference Protocol's messages, JSON and binary (Triton's `binary_tensor_data`), to tensors
 * and back, checked against the model's signature. Every refusal is `invalid_input` and names the
 * tensor, what was given and what fits. Runtime-free and on the hot path: one pass, few allocations.
 */
import type { Signature } from '#schemas/signature.ts'
import { invalid, listed, shown } from './invalid.ts'
import { hasJsonForm, isDatatype, type Layout, layoutOf, type OutputRequest } from './layout.ts'
import { fromBinary } from './oip-binary.ts'
import { fromJson, parseJson } from './oip-json.ts'
import { rawInput } from './oip-raw.ts'
import { checkShape, countRows } from './oip-shape.ts'
import type { Tensor } from './tensor.ts'
import { classesOf } from './triton/classification.ts'

export { decodeReply } from './oip-answer.ts'
export { writeBinary } from './oip-binary.ts'
export { encodeReply } from './oip-reply.ts'
export { scheduleOf } from './schedule.ts'

export type Parameters = Record<string, string | number | boolean>
export type InferRequest = {
  id: string | null
  parameters: Parameters
  /** In the signature's order, all of them. */
  inputs: Tensor[]
  /** In the order of the reply. */
  outputs: readonly OutputRequest[]
  rows: number
}
type Json = Record<string, unknown>

const NO_PARAMETERS: Parameters = Object.freeze({})
/** Parameters that would change the answer; taking them and doing nothing would be a wrong answer. */
const UNSUPPORTED = ['shared_memory_region', 'sequence_id', 'sequence_start', 'sequence_end']

/** The value of `Inference-Header-Content-Length`; null when the header is absent. */
export function parseJsonLength(header: string | null | undefined): number | null {
  if (header === null || header === undefined) return null
  if (!/^\d{1,15}$/.test(header)) {
    invalid(
      `Inference-Header-Content-Length is ${shown(header)}; it must be the JSON's size in bytes.`,
    )
  }
  return Number(header)
}

/** One inference request. `jsonLength`: bytes of JSON before the raw tensors; null: all; 0: a raw tensor alone. */
export function decodeRequest(given: {
  body: Uint8Array
  jsonLength: number | null
  signature: Signature
}): InferRequest {
  const { body, jsonLength, signature } = given
  const layout = layoutOf(signature)
  if (jsonLength === 0) {
    const inputs = [rawInput(body, signature)]
    const rows = countRows(signature.inputs, inputs)
    return { id: null, parameters: NO_PARAMETERS, inputs, outputs: layout.allAsBinary, rows }
  }
  if (
    jsonLength !== null &&
    !(Number.isInteger(jsonLength) && jsonLength > 0 && jsonLength <= body.length)
  ) {
    invalid(
      `Inference-Header-Content-Length is ${jsonLength}, but the body has ${body.length} bytes in all.`,
    )
  }
  const document = parseJson(jsonLength === null ? body : body.subarray(0, jsonLength), layout.wide)
  if (!isObject(document)) invalid('The body must be a JSON object with "inputs".')
  const parameters = readParameters(document.parameters, 'The request')
  const inputs = decodeInputs(document.inputs, body, jsonLength, signature, layout)
  return {
    id: readId(document.id),
    parameters,
    inputs,
    outputs: decodeOutputs(document.outputs, parameters.binary_data_output === true, layout),
    rows: countRows(signature.inputs, inputs),
  }
}

function decodeInputs(
  given: unknown,
  body: Uint8Array,
  jsonLength: number | null,
  signature: Signature,
  layout: Layout,
): Tensor[] {
  if (!Array.isArray(given)) invalid(`"inputs" must be an array of tensors, not ${shown(given)}.`)
  const inputs = new Array<Tensor>(signature.inputs.length)
  let at = jsonLength ?? body.length
  for (const entry of given) {
    if (!isObject(entry)) invalid(`"inputs" must hold objects, not ${shown(entry)}.`)
    const index = layout.inputs.get(entry.name as string)
    if (index === undefined) {
      invalid(
        `The model has no input ${shown(entry.name)}; it takes ${listed(layout.inputs.keys())}.`,
      )
    }
    const spec = signature.inputs[index]!
    if (inputs[index]) invalid(`Input "${spec.name}" is given twice.`)
    if (entry.datatype !== spec.datatype) refuseDatatype(spec.name, spec.datatype, entry.datatype)
    const count = checkShape(spec, entry.shape)
    const shape = entry.shape as number[]
    const size = binarySize(spec.name, entry, jsonLength)
    const data =
      size === null
        ? fromJson(spec, shape, count, entry.data)
        : fromBinary(spec, shape, count, body, at, size)
    if (size !== null) at += size
    inputs[index] = { name: spec.name, datatype: spec.datatype, shape, data }
  }
  for (let i = 0; i < inputs.length; i++) {
    if (!inputs[i]) invalid(`Input "${signature.inputs[i]!.name}" is missing.`)
  }
  if (at !== body.length)
    invalid(`There are ${body.length - at} bytes of unexpected additional input data.`)
  return inputs
}

/** Bytes of this input after the JSON; null when its values are in the JSON. */
function binarySize(name: string, entry: Json, jsonLength: number | null): number | null {
  if (entry.parameters === undefined) return null
  const size = readParameters(entry.parameters, `Input "${name}"`).binary_data_size
  if (size === undefined) return null
  if (!Number.isSafeInteger(size) || (size as number) < 0) {
    invalid(`Input "${name}": binary_data_size is ${shown(size)}; it must be a number of bytes.`)
  }
  if (entry.data !== undefined)
    invalid(`Input "${name}" has both data and binary_data_size; give one.`)
  if (jsonLength === null) {
    invalid(
      `Input "${name}" is announced as binary, but the request has no Inference-Header-Content-Length.`,
    )
  }
  return size as number
}

function decodeOutputs(
  given: unknown,
  binaryDefault: boolean,
  layout: Layout,
): readonly OutputRequest[] {
  let outputs: readonly OutputRequest[] = binaryDefault ? layout.allAsBinary : layout.allAsJson
  if (given !== undefined && given !== null) {
    if (!Array.isArray(given)) invalid(`"outputs" must be an array of names, not ${shown(given)}.`)
    if (given.length > 0) outputs = chosen(given, binaryDefault, layout)
  }
  for (const { name, index, binary, classes } of outputs) {
    const { datatype } = layout.outputSpecs[index]!
    if (!binary && classes === undefined && !hasJsonForm(datatype)) {
      invalid(
        `Output "${name}" is ${datatype}, which has no JSON form: ask for it with the parameter "binary_data": true.`,
      )
    }
  }
  return outputs
}

function chosen(given: unknown[], binaryDefault: boolean, layout: Layout): OutputRequest[] {
  const seen = new Set<number>()
  return given.map(entry => {
    if (!isObject(entry)) invalid(`"outputs" must hold objects with a name, not ${shown(entry)}.`)
    const name = entry.name as string
    const index = layout.outputs.get(name)
    if (index === undefined) {
      invalid(`The model has no output ${shown(name)}; it gives ${listed(layout.outputs.keys())}.`)
    }
    if (seen.has(index)) invalid(`Output "${name}" is asked for twice.`)
    seen.add(index)
    const parameters = readParameters(entry.parameters, `Output "${name}"`)
    const { binary_data: binary = binaryDefault, classification } = parameters
    if (typeof binary !== 'boolean') {
      invalid(`Output "${name}": binary_data is ${shown(binary)}; it must be true or false.`)
    }
    if (!classification) return { name, index, binary }
    return { name, index, binary, classes: classesOf(layout.outputSpecs[index]!, classification) }
  })
}

function readParameters(given: unknown, owner: string): Parameters {
  if (given === undefined || given === null) return NO_PARAMETERS
  if (!isObject(given)) invalid(`${owner}: parameters must be an object, not ${shown(given)}.`)
  for (const [name, value] of Object.entries(given)) {
    if (typeof value === 'object' || typeof value === 'bigint') {
      invalid(
        `${owner}: parameter "${name}" is ${shown(value)}; it must be a string, number or boolean.`,
      )
    }
    if (UNSUPPORTED.includes(name) && value) {
      invalid(`${owner}: parameter "${name}" is not supported here; leave it out.`)
    }
  }
  return given as Parameters
}

function readId(given: unknown): string | null {
  if (given === undefined || given === null) return null
  if (typeof given !== 'string') invalid(`"id" must be a string, not ${shown(given)}.`)
  return given
}

function refuseDatatype(name: string, wanted: string, given: unknown): never {
  const known = isDatatype(given) ? '' : ', which is no datatype of the protocol'
  invalid(`Input "${name}" is given as ${shown(given)}${known}; the model takes ${wanted}.`)
}

function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
