/** Tensors as JSON: exact or refused with their place, and the metadata that says what is taken. */
import { describe, expect, test } from 'vitest'
import { modelMetadata } from '#core/inference/metadata.ts'
import { encodeReply } from '#core/inference/oip.ts'
import type { Datatype } from '#schemas/signature.ts'
import { decode, decodeOne, one, refusal } from './decoding.ts'

describe('JSON values', () => {
  test('nested, flat and partly nested data give the same row-major tensor', () => {
    const flat = [1, 2, 3, 4, 5, 6]
    for (const data of [
      flat,
      [
        [1, 2, 3],
        [4, 5, 6],
      ],
      [[[1, 2, 3]], [[4, 5, 6]]],
      [flat],
    ]) {
      expect([...(decodeOne('FP32', [2, 1, 3], data) as Float32Array)]).toEqual(flat)
    }
  })

  test('a transposed or ragged array is refused, never read as another shape', () => {
    expect(
      refusal(() =>
        decodeOne(
          'FP32',
          [2, 3],
          [
            [1, 2],
            [3, 4],
            [5, 6],
          ],
        ),
      ),
    ).toMatch(/shape \[2,3\]/)
    expect(
      refusal(() =>
        decodeOne(
          'FP32',
          [2, 3],
          [
            [1, 2, 3, 4],
            [5, 6],
          ],
        ),
      ),
    ).toMatch(/ragged/)
    expect(refusal(() => decodeOne('FP32', [2, 2], [[1, 2], 3, 4]))).toMatch(/ragged/)
  })

  test('64-bit integers are exact in both directions', () => {
    const text =
      '{"inputs":[{"name":"x","datatype":"INT64","shape":[4],"data":[9007199254740993,-9223372036854775808,9223372036854775807,7]}]}'
    const signature = one('INT64')
    const { inputs, outputs } = decode(signature, text)
    const exact = [9007199254740993n, -(2n ** 63n), 2n ** 63n - 1n, 7n]
    expect([...(inputs[0]!.data as BigInt64Array)]).toEqual(exact)
    const reply = encodeReply({
      modelName: 'm',
      modelVersion: '1',
      id: '',
      signature,
      outputs: inputs,
      requested: outputs,
    })
    expect(new TextDecoder().decode(reply.body)).toContain(`"data":[${exact}]`)
    expect([...(decodeOne('UINT64', [1], ['18446744073709551615']) as BigUint64Array)]).toEqual([
      2n ** 64n - 1n,
    ])
  })

  test('a number that the datatype cannot hold is refused with its place', () => {
    const cases: [Datatype, unknown][] = [
      ['UINT8', 256],
      ['UINT8', -1],
      ['INT8', 128],
      ['INT16', 1.5],
      ['UINT32', 2 ** 32],
      ['INT32', '1'],
      ['INT64', 1.5],
      ['INT64', 1e30],
      ['UINT64', -1],
      ['UINT64', true],
      ['INT64', null],
      ['FP32', 1e39],
      ['FP32', '1'],
      ['FP32', null],
      ['FP64', true],
      ['BOOL', 2],
      ['BOOL', 'true'],
      ['BYTES', 1],
    ]
    for (const [datatype, value] of cases) {
      const good = datatype === 'BYTES' ? 'a' : 0
      expect(
        refusal(() => decodeOne(datatype, [2], [good, value])),
        `${datatype} ${value}`,
      ).toMatch(/"x" \(\w+\): value 1 is/)
    }
    expect(
      refusal(() =>
        decode(
          one('FP64'),
          '{"inputs":[{"name":"x","datatype":"FP64","shape":[1],"data":[1e999]}]}',
        ),
      ),
    ).toMatch(/finite/)
    expect(
      refusal(() =>
        decode(
          one('INT64'),
          '{"inputs":[{"name":"x","datatype":"INT64","shape":[1],"data":[9223372036854775808]}]}',
        ),
      ),
    ).toMatch(/fits INT64/)
  })

  test('BOOL takes true, false, 1 and 0, and BYTES takes text', () => {
    expect([...(decodeOne('BOOL', [4], [true, false, 1, 0]) as Uint8Array)]).toEqual([1, 0, 1, 0])
    expect((decodeOne('BYTES', [2], ['é', '']) as Uint8Array[]).map(e => [...e])).toEqual([
      [0xc3, 0xa9],
      [],
    ])
  })

  test('NaN and infinities travel as strings, and the bare words of Python are read', () => {
    const written =
      '{"inputs":[{"name":"x","datatype":"FP32","shape":[4],"data":[NaN,-Infinity,"Infinity",1]}]}'
    const signature = one('FP32')
    const { inputs, outputs } = decode(signature, written)
    expect([...(inputs[0]!.data as Float32Array)]).toEqual([NaN, -Infinity, Infinity, 1])
    const { body } = encodeReply({
      modelName: 'm',
      modelVersion: '1',
      id: '',
      signature,
      outputs: inputs,
      requested: outputs,
    })
    expect(JSON.parse(new TextDecoder().decode(body)).outputs[0].data).toEqual([
      'NaN',
      '-Infinity',
      'Infinity',
      1,
    ])
    const keys =
      '{"id":"NaN,Infinity","inputs":[{"name":"x","datatype":"FP32","shape":[1],"data":[NaN]}]}'
    expect(decode(signature, keys).id).toBe('NaN,Infinity')
  })

  test('16-bit floats as JSON are refused with the way that works, before any work is done', () => {
    expect(refusal(() => decodeOne('FP16', [1], [1]))).toMatch(/binary_data_size/)
    const half = { name: 'x', datatype: 'FP16', shape: [1], parameters: { binary_data_size: 2 } }
    expect(refusal(() => decode(one('FP16'), { inputs: [half] }, new Uint8Array(2)))).toMatch(
      /"binary_data": true/,
    )
  })
})

test('metadata gives the protocol its platform, versions and tensors', () => {
  expect(modelMetadata('m', ['1', '2'], one('FP32', [-1, 2]))).toMatchObject({
    name: 'm',
    versions: ['1', '2'],
    platform: 'onnx_onnxv1',
    inputs: [{ name: 'x', datatype: 'FP32', shape: [-1, 2] }],
    outputs: [{ name: 'x', datatype: 'FP32', shape: [-1, 2] }],
  })
})
