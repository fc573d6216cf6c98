/** Messages of gRPC and bodies of HTTP: the same request in either form is the same to a runner. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { AppError } from '#core/error.ts'
import { decodeRequest, encodeReply } from '#core/inference/oip.ts'
import { bytesOf, ELEMENT_BYTES, viewOf } from '#core/inference/tensor.ts'
import { bodyOf, responseOf } from '#edge/grpc/messages.ts'
import { faultOf, STATUS } from '#edge/grpc/status.ts'
import { ERRORS, type ErrorCode } from '#schemas/errors.ts'
import type { Datatype, Signature } from '#schemas/signature.ts'

const signatureOf = (datatype: Datatype): Signature => {
  const tensor = { datatype, shape: [-1, 2], batch_axis: 0 }
  return {
    inputs: [{ name: 'x', ...tensor }],
    outputs: [{ name: 'y', ...tensor }],
    batching: 'invariant',
  }
}
const FIELDS: Partial<Record<Datatype, string>> = {
  INT8: 'int_contents',
  INT16: 'int_contents',
  INT32: 'int_contents',
  INT64: 'int64_contents',
  UINT8: 'uint_contents',
  UINT16: 'uint_contents',
  UINT32: 'uint_contents',
  UINT64: 'uint64_contents',
  FP32: 'fp32_contents',
  FP64: 'fp64_contents',
}
const decoded = (request: object, datatype: Datatype) =>
  decodeRequest({ ...bodyOf(request), signature: signatureOf(datatype) })

describe.each(Object.keys(FIELDS) as Datatype[])('%s', datatype => {
  test('typed contents are the bytes that raw contents would be', () => {
    const width = ELEMENT_BYTES[datatype]
    const rows = fc
      .integer({ min: 1, max: 8 })
      .chain(n => fc.uint8Array({ minLength: n * 2 * width, maxLength: n * 2 * width }))
    fc.assert(
      fc.property(rows, bytes => {
        const count = bytes.length / width
        const values = [
          ...(viewOf(datatype as 'INT8', bytes.slice().buffer, 0, count) as Int8Array),
        ]
        // NaN has many forms, of which a number in a message keeps one.
        fc.pre(values.every(value => !Number.isNaN(value)))
        const given = values.map(value => (typeof value === 'bigint' ? String(value) : value))
        const input = { name: 'x', datatype, shape: [String(count / 2), '2'] }
        const typed = { inputs: [{ ...input, contents: { [FIELDS[datatype]!]: given } }] }
        const raw = { inputs: [input], raw_input_contents: [bytes] }
        const [a, b] = [decoded(typed, datatype), decoded(raw, datatype)]
        expect(bytesOf(a.inputs[0]!.data as Int8Array)).toEqual(
          bytesOf(b.inputs[0]!.data as Int8Array),
        )
        expect({ ...a, inputs: [] }).toEqual({ ...b, inputs: [] })
      }),
    )
  })
})

test('what a runner replies comes out tensor by tensor, its bytes as they were', () => {
  const signature = signatureOf('FP32')
  fc.assert(
    fc.property(fc.array(fc.float({ noNaN: true }), { minLength: 2, maxLength: 40 }), values => {
      const data = Float32Array.from(values.length % 2 ? values.slice(1) : values)
      const tensor = { name: 'y', datatype: 'FP32' as const, shape: [data.length / 2, 2], data }
      const reply = encodeReply({
        modelName: 'm',
        modelVersion: '3',
        id: 'a',
        signature,
        outputs: [tensor],
        requested: [{ name: 'y', index: 0, binary: true }],
      })
      const response = responseOf(reply.body, reply.jsonLength!)
      expect([response.model_name, response.model_version, response.id]).toEqual(['m', '3', 'a'])
      expect(response.outputs).toEqual([{ name: 'y', datatype: 'FP32', shape: tensor.shape }])
      expect(Buffer.from(response.raw_output_contents[0]!)).toEqual(Buffer.from(bytesOf(data)))
    }),
  )
})

test('parameters keep their kinds, and integers past 2^53 their digits', () => {
  const { parameters } = decoded(
    {
      parameters: {
        a: { bool_param: false },
        b: { int64_param: '-7' },
        c: { string_param: '' },
        d: { double_param: 0.5 },
        e: { uint64_param: '18446744073709551615' },
      },
      inputs: [{ name: 'x', datatype: 'FP32', shape: ['1', '2'] }],
      raw_input_contents: [new Uint8Array(8)],
    },
    'FP32',
  )
  expect(parameters).toEqual({
    a: false,
    b: -7,
    c: '',
    d: 0.5,
    e: '18446744073709551615',
    binary_data_output: true,
  })
})

test('contents that do not fit are refused by the name of their input', () => {
  const x = { name: 'x', datatype: 'INT8', shape: ['1', '2'] }
  for (const [request, words] of [
    [{ inputs: [{ ...x, contents: { int_contents: [1, 128] } }] }, ['"x"', '128', 'INT8']],
    [{ inputs: [{ ...x, contents: { int_contents: [1] } }] }, ['"x"', '1 values', '[1,2]']],
    [{ inputs: [{ ...x, contents: { fp32_contents: [1] } }] }, ['"x"', 'int_contents']],
    [{ inputs: [{ ...x, datatype: 'FP16' }] }, ['"x"', 'FP16', 'raw_input_contents']],
    [{ inputs: [{ ...x, datatype: 'INT9' }] }, ['"x"', 'INT9']],
    [{ inputs: [x], raw_input_contents: [new Uint8Array(1), new Uint8Array(1)] }, ['2', '1']],
  ] as const) {
    try {
      bodyOf(request as object)
      expect.unreachable()
    } catch (error) {
      expect(error).toBeInstanceOf(AppError)
      for (const word of words) expect((error as AppError).public).toContain(word)
    }
  }
})

test('every code of the catalogue has a status of gRPC, and what may pass is UNAVAILABLE alone', () => {
  const codes = Object.keys(ERRORS) as ErrorCode[]
  const known = new Set<number>(Object.values(STATUS))
  for (const code of codes) expect(known.has(faultOf(new AppError(code)).code)).toBe(true)
  const retried = codes.filter(code => faultOf(new AppError(code)).code === STATUS.UNAVAILABLE)
  expect(retried.every(code => ERRORS[code].status === 503)).toBe(true)
  const fault = faultOf(new AppError('overloaded', { retryAfterS: 2 }))
  expect(fault.trailers['grpc-retry-pushback-ms']).toBe('2000')
  expect(faultOf(new Error('secret'))).toMatchObject({ code: STATUS.INTERNAL })
  expect(faultOf(new Error('secret')).details).not.toContain('secret')
})
