/** Asking a model by the Open Inference Protocol: in JSON, or with raw tensors behind a JSON header. */
import type { Galley, InferOptions } from '../client.ts'
import type { DATATYPES } from '../contract.generated.ts'
import { parseExact, stringifyExact } from './exact-json.ts'
import { type BytesOf, decode, encode, type TensorData } from './tensor-bytes.ts'

export type Datatype = (typeof DATATYPES)[number]
export type JsonValue = number | bigint | boolean | string | JsonValue[]
/** `data` nested as the shape is, or flat in row-major order. */
export type JsonTensor = { name: string; datatype: Datatype; shape: number[]; data: JsonValue[] }
export type InferInput = {
  inputs: JsonTensor[]
  /** Those that are wanted; all, where it is not given. */
  outputs?: { name: string }[]
}
export type InferReply = {
  model_name: string
  model_version: string
  outputs: JsonTensor[]
}

/** `datatype` where the array alone does not say it: BOOL, FP16 and BF16 as their bits, text. */
export type TypedInput = { name: string; shape: number[]; data: TensorData; datatype?: Datatype }
export type TypedTensor = { name: string; datatype: Datatype; shape: number[]; data: BytesOf }
export type TypedReply = Omit<InferReply, 'outputs'> & { outputs: TypedTensor[] }

const JSON_LENGTH = 'inference-header-content-length'
/** The server is told to give up when we do; it takes no more than this. */
const DEADLINE_MS_MAX = 120_000

/** Integers that a number cannot hold are bigints, both ways. */
export async function infer(
  galley: Galley,
  model: string,
  input: InferInput,
  options: InferOptions,
): Promise<InferReply> {
  const headers = { 'content-type': 'application/json' }
  const reply = await call(galley, model, stringifyExact(input), headers, options, answer =>
    answer.text(),
  )
  const wide = /"U?INT64"/.test(reply)
  return (wide ? parseExact(reply) : JSON.parse(reply)) as InferReply
}

export async function inferBinary(
  galley: Galley,
  model: string,
  input: { inputs: TypedInput[]; outputs?: string[] },
  options: InferOptions,
): Promise<TypedReply> {
  const encoded = input.inputs.map(({ data, datatype }) => encode(data, datatype))
  const header = JSON.stringify({
    inputs: input.inputs.map(({ name, shape }, at) => ({
      name,
      shape,
      datatype: encoded[at]!.datatype,
      parameters: { binary_data_size: encoded[at]!.bytes.length },
    })),
    ...(input.outputs && { outputs: input.outputs.map(name => ({ name })) }),
    parameters: { binary_data_output: true },
  })
  const json = new TextEncoder().encode(header)
  const body = joined([json, ...encoded.map(each => each.bytes)])
  const headers = { [JSON_LENGTH]: String(json.length) }
  return call(galley, model, body, headers, options, async answer => {
    const bytes = new Uint8Array(await answer.arrayBuffer())
    return decodeReply(bytes, Number(answer.headers.get(JSON_LENGTH) ?? bytes.length))
  })
}

type BinaryOutput = Omit<TypedTensor, 'data'> & { parameters: { binary_data_size: number } }

function decodeReply(bytes: Uint8Array<ArrayBuffer>, jsonLength: number): TypedReply {
  const text = new TextDecoder().decode(bytes.subarray(0, jsonLength))
  const document = JSON.parse(text) as Omit<InferReply, 'outputs'> & { outputs: BinaryOutput[] }
  let at = jsonLength
  const outputs = document.outputs.map(({ parameters, ...output }) => {
    const from = at
    at += parameters.binary_data_size
    return { ...output, data: decode(bytes.slice(from, at), output.datatype) }
  })
  return { ...document, outputs }
}

function call<T>(
  galley: Galley,
  model: string,
  body: Uint8Array<ArrayBuffer> | string,
  headers: Record<string, string>,
  { version, signal, timeoutMs }: InferOptions,
  read: (response: Response) => Promise<T>,
): Promise<T> {
  const deadline = timeoutMs && {
    'galley-timeout-ms': String(Math.min(DEADLINE_MS_MAX, timeoutMs)),
  }
  const options = { headers: { ...headers, ...deadline }, signal, timeoutMs }
  return version === undefined
    ? galley.send('oip.infer', { params: { model }, body }, options, read)
    : galley.send(
        'oip.infer_version',
        { params: { model, version: String(version) }, body },
        options,
        read,
      )
}

function joined(parts: Uint8Array[]): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0))
  let at = 0
  for (const part of parts) {
    whole.set(part, at)
    at += part.length
  }
  return whole
}
