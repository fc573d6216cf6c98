/**
 * Messages of the gRPC service, as `schemas/contracts/inference.proto` declares them and the loader gives
 * them: 64-bit integers as text, absent fields left out. Inference is carried in the one form that
 * runners read, JSON with raw tensors behind it, so that both protocols are checked in one place.
 */
import { joined } from '#core/bytes.ts'
import { invalid, shown } from '#core/inference/invalid.ts'
import { rawContents, type TensorContents } from './contents.ts'

export type Named = { name?: string; version?: string }
/** Which kind a parameter is of does not matter: what is not known by its name is refused. */
export type RepositoryRequest = { model_name?: string; parameters?: Record<string, unknown> }
export type Parameter = {
  bool_param?: boolean
  int64_param?: string
  string_param?: string
  double_param?: number
  uint64_param?: string
}
type Parameters = Record<string, Parameter>
export type InferInput = {
  name?: string
  datatype?: string
  shape?: string[]
  parameters?: Parameters
  contents?: TensorContents | null
}
export type InferRequest = {
  model_name?: string
  model_version?: string
  id?: string
  parameters?: Parameters
  inputs?: InferInput[]
  outputs?: { name?: string; parameters?: Parameters }[]
  raw_input_contents?: Uint8Array[]
}
export type InferResponse = {
  model_name: string
  model_version: string
  id: string
  parameters?: Parameters
  outputs: { name: string; datatype: string; shape: number[] }[]
  raw_output_contents: Uint8Array[]
}

type Value = string | number | boolean
type Output = {
  name: string
  datatype: string
  shape: number[]
  parameters: { binary_data_size: number }
}

const encoder = new TextEncoder()
const decoder = new TextDecoder()

/** The request as a body, with the bytes of its JSON. Throws `invalid_input` for what cannot be carried. */
export function bodyOf(request: InferRequest): { body: Uint8Array; jsonLength: number } {
  const { inputs = [], outputs = [], raw_input_contents: raw = [] } = request
  if (raw.length > 0 && raw.length !== inputs.length) {
    invalid(
      `raw_input_contents has ${raw.length} entries for ${inputs.length} inputs: give one for each, or none.`,
    )
  }
  const tensors = inputs.map((input, i) => {
    if (raw.length === 0) return rawContents(input)
    if (input.contents && Object.keys(input.contents).length > 0) {
      invalid(
        `Input ${shown(input.name)} has contents although raw_input_contents is used: give one.`,
      )
    }
    return raw[i]!
  })
  const json = encoder.encode(
    JSON.stringify({
      id: request.id || undefined,
      parameters: { ...valuesOf(request.parameters), binary_data_output: true },
      inputs: inputs.map((input, i) => ({
        name: input.name ?? '',
        datatype: input.datatype ?? '',
        shape: (input.shape ?? []).map(Number),
        parameters: { ...valuesOf(input.parameters), binary_data_size: tensors[i]!.length },
      })),
      outputs: outputs.map(({ name = '', parameters }) => ({
        name,
        parameters: { ...valuesOf(parameters), binary_data: true },
      })),
    }),
  )
  return { body: joined([json, ...tensors]), jsonLength: json.length }
}

/** A runner's reply as a message; its tensors are views of the body. */
export function responseOf(body: Uint8Array, jsonLength: number): InferResponse {
  const json = JSON.parse(decoder.decode(body.subarray(0, jsonLength))) as {
    model_name: string
    model_version: string
    id: string
    outputs: Output[]
  }
  let at = jsonLength
  const raw = json.outputs.map(({ parameters }) => {
    at += parameters.binary_data_size
    return body.subarray(at - parameters.binary_data_size, at)
  })
  const outputs = json.outputs.map(({ name, datatype, shape }) => ({ name, datatype, shape }))
  return { ...json, outputs, raw_output_contents: raw }
}

function valuesOf(parameters: Parameters = {}): Record<string, Value> {
  return Object.fromEntries(
    Object.entries(parameters).map(([name, parameter]) => [name, parameterOf(name, parameter)]),
  )
}

function parameterOf(name: string, parameter: Parameter): Value {
  const { bool_param, string_param, double_param } = parameter
  const value = bool_param ?? string_param ?? double_param
  if (value !== undefined) return value
  const digits = parameter.int64_param ?? parameter.uint64_param
  if (digits === undefined) return invalid(`Parameter ${shown(name)} has no value.`)
  const number = Number(digits)
  return Number.isSafeInteger(number) ? number : digits
}
