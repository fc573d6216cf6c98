/** The size of replies: what is too large to be JSON is refused before it is written, not after. */
import { expect, test } from 'vitest'
import { encodeReply } from '#core/inference/oip.ts'
import { JSON_OUTPUT_BYTES_MAX } from '#core/inference/oip-reply.ts'
import type { Signature } from '#schemas/signature.ts'

const spec = { name: 'y', datatype: 'UINT8' as const, shape: [-1], batch_axis: null }
const signature: Signature = { inputs: [], outputs: [spec], batching: 'invariant' }
const reply = (bytes: number, binary: boolean) =>
  encodeReply({
    modelName: 'm',
    modelVersion: '1',
    id: 'r',
    signature,
    outputs: [{ name: 'y', datatype: 'UINT8', shape: [bytes], data: new Uint8Array(bytes) }],
    requested: [{ name: 'y', index: 0, binary }],
  })

test('outputs past what JSON takes are refused with the way to get them, and binary gives them', () => {
  expect(() => reply(JSON_OUTPUT_BYTES_MAX + 1, false)).toThrow(
    expect.objectContaining({
      code: 'invalid_input',
      public: expect.stringContaining('binary_data_output'),
    }),
  )
  const { body, jsonLength } = reply(JSON_OUTPUT_BYTES_MAX + 1, true)
  expect(body.length).toBe(jsonLength! + JSON_OUTPUT_BYTES_MAX + 1)
})
