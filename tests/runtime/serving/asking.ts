/** Requests of one model in either form of the protocol, and a model that answers them by hand. */
import fc from 'fast-check'
import type { InferenceCall, InferenceReply, Servable } from '#core/deps.ts'
import { decodeRequest, encodeReply } from '#core/inference/oip.ts'
import { writeBinary } from '#core/inference/oip-binary.ts'
import { byteSize, type Tensor } from '#core/inference/tensor.ts'
import { newId, type TenantId } from '#schemas/ids.ts'
import type { Serving } from '#schemas/serving.ts'
import type { Signature } from '#schemas/signature.ts'
import { callOf } from '#tests/caller.ts'

const specs = [
  { name: 'x', datatype: 'FP32' as const, shape: [-1, 2], batch_axis: 0 },
  { name: 's', datatype: 'BYTES' as const, shape: [-1], batch_axis: 0 },
  { name: 'n', datatype: 'INT64' as const, shape: [-1], batch_axis: 0 },
]
export const signature: Signature = { inputs: specs, outputs: specs, batching: 'invariant' }
export type Form = 'json' | 'binary'
export type Question = { inputs: Tensor[]; outputs: string[]; form: Form; outputForm: Form }

const few = fc.constantFrom
/** Small worlds, so that the same tensors are met again. */
export const inputs: fc.Arbitrary<Tensor[]> = fc.integer({ min: 1, max: 2 }).chain(rows =>
  fc
    .record({
      x: fc.array(few(0, -0, 1.5, NaN, Infinity, 1e-40), {
        minLength: rows * 2,
        maxLength: rows * 2,
      }),
      s: fc.array(few('', 'a', 'é', 'a\0b'), { minLength: rows, maxLength: rows }),
      n: fc.array(few(0n, 1n, 2n ** 62n + 1n, -1n), { minLength: rows, maxLength: rows }),
    })
    .map(({ x, s, n }): Tensor[] => [
      { name: 'x', datatype: 'FP32', shape: [rows, 2], data: Float32Array.from(x) },
      { name: 's', datatype: 'BYTES', shape: [rows], data: s.map(text => Buffer.from(text)) },
      { name: 'n', datatype: 'INT64', shape: [rows], data: BigInt64Array.from(n) },
    ]),
)
export const questions: fc.Arbitrary<Question> = fc.record({
  inputs,
  outputs: few<string[]>([], ['x'], ['x', 's'], ['s', 'x'], ['n']),
  form: few<Form>('json', 'binary'),
  outputForm: few<Form>('json', 'binary'),
})

/** The body of a request, and how long its JSON is. */
export function bodyOf({ inputs, outputs, form, outputForm }: Question, id?: string) {
  const isBinary = form === 'binary'
  const json = JSON.stringify({
    id,
    inputs: inputs.map(({ data, ...about }) =>
      isBinary
        ? { ...about, parameters: { binary_data_size: byteSize(data) } }
        : { ...about, data: valuesOf(data) },
    ),
    ...(outputs.length > 0 && { outputs: outputs.map(name => ({ name })) }),
    parameters: { binary_data_output: outputForm === 'binary' },
  }).replaceAll(/"#(-?\w+)"/g, '$1')
  const head = Buffer.from(json)
  const parts = inputs.map(({ data }) => {
    const bytes = new Uint8Array(byteSize(data))
    writeBinary(data, bytes, 0)
    return bytes
  })
  return isBinary
    ? { body: Buffer.concat([head, ...parts]), jsonLength: head.length }
    : { body: head, jsonLength: null }
}

/** What JSON has no number for stands bare, as Python writes it. */
function valuesOf(data: Tensor['data']): unknown[] {
  return Array.from(data as ArrayLike<unknown>, value => {
    if (typeof value === 'bigint') return `#${value}`
    if (value instanceof Uint8Array) return Buffer.from(value).toString()
    return Object.is(value, -0) ? '#-0' : Number.isFinite(value) ? value : `#${value}`
  })
}

/** Its outputs are its inputs, times a number that tells versions apart. */
export function answer(call: InferenceCall, times: number): InferenceReply {
  const { body, jsonLength, model } = call
  const request = decodeRequest({ body, jsonLength, signature: model.signature })
  const outputs = request.outputs.map(({ index }) => {
    const tensor = request.inputs[index]!
    if (tensor.datatype !== 'FP32') return tensor
    return { ...tensor, data: (tensor.data as Float32Array).map(value => value * times) }
  })
  const encoded = encodeReply({
    modelName: model.model,
    modelVersion: String(model.version),
    id: request.id ?? call.call.requestId,
    signature: model.signature,
    outputs,
    requested: request.outputs,
  })
  // Not the codec's own memory: what is kept must not change when that is used again.
  const body_ = Buffer.from(encoded.body)
  return { body: body_, jsonLength: encoded.jsonLength, receiptId: 'rcp_model', computeUs: 1 }
}

export function servable(serving: Serving | undefined, version = 1, model = 'm'): Servable {
  const manifest = { graph: 'm.onnx', files: [] }
  return { model, version, digest: `digest of ${version}`, manifest, signature, serving }
}

export function callFor(
  tenantId: TenantId,
  model: Servable,
  question: Question,
  more: Partial<InferenceCall> & { id?: string } = {},
): InferenceCall {
  const { id, ...rest } = more
  const call = { ...callOf(tenantId), requestId: newId('request') }
  return { call, model, ...bodyOf(question, id), deadline: Infinity, ...rest }
}
