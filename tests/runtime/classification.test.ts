/** Triton's classification extension: the largest values of an output, in order, as text. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { AppError } from '#core/error.ts'
import { decodeRequest, encodeReply } from '#core/inference/oip.ts'
import type { Tensor } from '#core/inference/tensor.ts'
import type { Datatype, Signature } from '#schemas/signature.ts'

const signatureOf = (datatype: Datatype, axis: number | null = 0): Signature => ({
  inputs: [{ name: 'x', datatype: 'FP32', shape: [-1, 1], batch_axis: 0 }],
  outputs: [{ name: 'y', datatype, shape: [-1, -1], batch_axis: axis }],
  batching: 'invariant',
})

/** What a caller gets who asks for k classes of the tensor. */
function classesOf(signature: Signature, y: Tensor, k: number) {
  const input = { name: 'x', datatype: 'FP32', shape: [1, 1], data: [0] }
  const outputs = [{ name: 'y', parameters: { classification: k } }]
  const body = Buffer.from(JSON.stringify({ inputs: [input], outputs }))
  const { outputs: requested } = decodeRequest({ body, jsonLength: null, signature })
  const about = { modelName: 'm', modelVersion: '1', id: 'i', signature }
  const reply = encodeReply({ ...about, outputs: [y], requested })
  return JSON.parse(Buffer.from(reply.body).toString()).outputs[0]
}

test('of each row the k largest come, in falling order; of equal ones the lower index first', () => {
  const rows = fc.tuple(fc.integer({ min: 1, max: 5 }), fc.integer({ min: 1, max: 90 }))
  const cases = rows.chain(([n, width]) =>
    fc.record({
      width: fc.constant(width),
      k: fc.integer({ min: 1, max: 100 }),
      // Few different values, so that many are equal.
      values: fc.array(fc.integer({ min: -5, max: 5 }), {
        minLength: n * width,
        maxLength: n * width,
      }),
    }),
  )
  fc.assert(
    fc.property(cases, ({ width, k, values }) => {
      const n = values.length / width
      const y = { name: 'y', datatype: 'INT32' as const, shape: [n, width] }
      const found = classesOf(signatureOf('INT32'), { ...y, data: Int32Array.from(values) }, k)
      const wanted = Array.from({ length: n }, (_, row) =>
        values
          .slice(row * width, (row + 1) * width)
          .map((value, index) => ({ value, index }))
          .sort((a, b) => b.value - a.value || a.index - b.index)
          .slice(0, k)
          .map(({ value, index }) => `${value}:${index}`),
      ).flat()
      const shape = [n, Math.min(k, width)]
      expect(found).toEqual({ name: 'y', datatype: 'BYTES', shape, data: wanted })
    }),
  )
})

describe('scores are written as C writes them', () => {
  test.each([
    ['FP32', Float32Array.of(0.5, -1, Number.NaN), ['0.500000:0', '-1.000000:1', 'nan:2']],
    [
      'FP64',
      Float64Array.of(1e21, Number.POSITIVE_INFINITY),
      ['inf:1', `1${'0'.repeat(21)}.000000:0`],
    ],
    ['FP16', Uint16Array.of(0x3c00, 0xc000, 0x7c00), ['inf:2', '1.000000:0', '-2.000000:1']],
    ['BF16', Uint16Array.of(0x3f80, 0x4000), ['2.000000:1', '1.000000:0']],
    ['INT64', BigInt64Array.of(-1n, 2n ** 62n), ['4611686018427387904:1', '-1:0']],
    ['BOOL', Uint8Array.of(0, 1), ['1:1', '0:0']],
  ] as const)('%s', (datatype, data, wanted) => {
    const tensor = { name: 'y', datatype, shape: [1, data.length], data }
    expect(classesOf(signatureOf(datatype), tensor, 9).data).toEqual(wanted)
  })
})

test('an output without rows is one list', () => {
  const y = {
    name: 'y',
    datatype: 'FP32' as const,
    shape: [2, 2],
    data: Float32Array.of(1, 4, 3, 2),
  }
  const { shape, data } = classesOf(signatureOf('FP32', null), y, 3)
  expect([shape, data]).toEqual([[3], ['4.000000:1', '3.000000:2', '2.000000:3']])
})

test('what cannot be classified is refused by its name', () => {
  const refusal = (signature: Signature, k: unknown) => {
    try {
      const y = { name: 'y', datatype: 'FP32' as const, shape: [1, 1], data: new Float32Array(1) }
      classesOf(signature, y, k as number)
      return expect.unreachable()
    } catch (error) {
      return (error as AppError).public
    }
  }
  for (const k of [-1, 1.5, 'two', true]) expect(refusal(signatureOf('FP32'), k)).toContain('"y"')
  expect(refusal(signatureOf('BYTES'), 1)).toContain('BYTES')
  expect(refusal(signatureOf('FP32', 1), 1)).toContain('axis 1')
})
