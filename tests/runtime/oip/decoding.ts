/** Requests of the Open Inference Protocol as a test writes them, and why one is refused. */
import { expect } from 'vitest'
import { AppError } from '#core/error.ts'
import { decodeRequest } from '#core/inference/oip.ts'
import type { Datatype, Signature, TensorSpec } from '#schemas/signature.ts'

export const bytes = (value: unknown) =>
  new TextEncoder().encode(typeof value === 'string' ? value : JSON.stringify(value))
export const spec = (name: string, datatype: Datatype, shape: number[]): TensorSpec => ({
  name,
  datatype,
  shape,
  batch_axis: shape[0] === -1 ? 0 : null,
})
export const signatureOf = (inputs: TensorSpec[], outputs = inputs): Signature => ({
  inputs,
  outputs,
  batching: 'invariant',
})
export const one = (datatype: Datatype, shape = [-1]) => signatureOf([spec('x', datatype, shape)])

export function decode(signature: Signature, document: unknown, tail = new Uint8Array(0)) {
  const json = bytes(document)
  const body = new Uint8Array(json.length + tail.length)
  body.set(json)
  body.set(tail, json.length)
  return decodeRequest({ body, jsonLength: tail.length ? json.length : null, signature })
}
export const decodeOne = (
  datatype: Datatype,
  shape: number[],
  data: unknown,
  open = shape.map(() => -1),
) => decode(one(datatype, open), { inputs: [{ name: 'x', datatype, shape, data }] }).inputs[0]!.data
export function refusal(run: () => unknown): string {
  try {
    run()
  } catch (error) {
    expect(error).toBeInstanceOf(AppError)
    expect((error as AppError).code).toBe('invalid_input')
    return (error as AppError).public
  }
  throw new Error('it was taken')
}
