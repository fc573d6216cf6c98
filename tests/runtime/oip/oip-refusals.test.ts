/** What is refused of a request, in words that name it. */
import { describe, expect, test } from 'vitest'
import { decodeRequest, parseJsonLength } from '#core/inference/oip.ts'
import { bytes, decode, one, refusal, signatureOf, spec } from './decoding.ts'

describe('refusals', () => {
  const signature = signatureOf(
    [spec('a', 'FP32', [-1, 2]), spec('b', 'INT32', [-1])],
    [spec('y', 'FP32', [-1])],
  )
  const a = { name: 'a', datatype: 'FP32', shape: [1, 2], data: [1, 2] }
  const b = { name: 'b', datatype: 'INT32', shape: [1], data: [1] }

  test.each<[string, unknown, RegExp]>([
    ['no JSON', '{"inputs":[', /not JSON/],
    ['no object', '[]', /JSON object/],
    ['no inputs', {}, /"inputs" must be an array/],
    ['an input that is no object', { inputs: [1] }, /must hold objects/],
    [
      'an unknown input',
      { inputs: [a, b, { ...a, name: 'c' }] },
      /no input "c"; it takes "a", "b"/,
    ],
    ['a missing input', { inputs: [a] }, /Input "b" is missing/],
    ['a repeated input', { inputs: [a, a, b] }, /"a" is given twice/],
    [
      'another datatype',
      { inputs: [{ ...a, datatype: 'FP64' }, b] },
      /given as "FP64"; the model takes FP32/,
    ],
    [
      'no datatype at all',
      { inputs: [{ ...a, datatype: 'FLOAT' }, b] },
      /no datatype of the protocol/,
    ],
    [
      'another rank',
      { inputs: [{ ...a, shape: [2] }, b] },
      /has shape \[2\]; the model takes \[-1,2\]/,
    ],
    [
      'another dimension',
      { inputs: [{ ...a, shape: [1, 3], data: [1, 2, 3] }, b] },
      /has shape \[1,3\]/,
    ],
    ['a negative dimension', { inputs: [{ ...a, shape: [-1, 2] }, b] }, /shape holds -1/],
    ['a fractional dimension', { inputs: [{ ...a, shape: [0.5, 2] }, b] }, /shape holds 0.5/],
    ['an overflowing shape', { inputs: [{ ...a, shape: [2 ** 52, 2] }, b] }, /more elements/],
    ['no shape', { inputs: [{ ...a, shape: undefined }, b] }, /shape must be an array/],
    [
      'too few values',
      { inputs: [{ ...a, data: [1] }, b] },
      /data has 1 values, but shape \[1,2\] holds 2/,
    ],
    ['no values', { inputs: [{ ...a, data: undefined }, b] }, /data must be an array/],
    [
      'rows that disagree',
      { inputs: [{ ...a, shape: [2, 2], data: [1, 2, 3, 4] }, b] },
      /"b" has 1 rows.*"a" has 2/,
    ],
    [
      'an unknown output',
      { inputs: [a, b], outputs: [{ name: 'z' }] },
      /no output "z"; it gives "y"/,
    ],
    [
      'a repeated output',
      { inputs: [a, b], outputs: [{ name: 'y' }, { name: 'y' }] },
      /asked for twice/,
    ],
    ['an id that is no string', { id: 7, inputs: [a, b] }, /"id" must be a string/],
    ['a nested parameter', { parameters: { p: [] }, inputs: [a, b] }, /parameter "p"/],
    [
      'an extension that is not there',
      { inputs: [{ ...a, parameters: { shared_memory_region: 'mine' } }, b] },
      /not supported/,
    ],
    [
      'binary without its header',
      { inputs: [{ ...a, data: undefined, parameters: { binary_data_size: 8 } }, b] },
      /no Inference-Header/,
    ],
  ])('%s', (_name, document, expected) => {
    expect(refusal(() => decode(signature, document))).toMatch(expected)
  })

  test('data nested deeper than a hundred arrays is refused', () => {
    const deep = `{"inputs":[{"name":"x","datatype":"FP32","shape":[1],"data":${'['.repeat(1e5)}${']'.repeat(1e5)}}]}`
    expect(refusal(() => decode(one('FP32'), deep))).toMatch(/deeper than 100/)
  })

  test('sizes of the binary part that do not add up are refused, to the byte', () => {
    const binary = (size: unknown) => ({
      inputs: [{ name: 'x', datatype: 'FP32', shape: [2], parameters: { binary_data_size: size } }],
    })
    const signature = one('FP32')
    expect(refusal(() => decode(signature, binary(8), new Uint8Array(7)))).toMatch(
      /expecting 1 additional bytes/,
    )
    expect(refusal(() => decode(signature, binary(8), new Uint8Array(9)))).toMatch(
      /1 bytes of unexpected additional/,
    )
    expect(refusal(() => decode(signature, binary(4), new Uint8Array(4)))).toMatch(/takes 8/)
    for (const size of [-1, 1.5, '8', true])
      expect(refusal(() => decode(signature, binary(size), new Uint8Array(8)))).toMatch(
        /number of bytes/,
      )
    for (const jsonLength of [-1, 1e12, 3.5, Number.NaN]) {
      expect(
        refusal(() => decodeRequest({ body: bytes(binary(8)), jsonLength, signature })),
      ).toMatch(/Content-Length is/)
    }
    for (const header of ['-1', '', 'x', '1.5', '9'.repeat(20)])
      expect(refusal(() => parseJsonLength(header))).toMatch(/Content-Length is/)
    expect([parseJsonLength(null), parseJsonLength('0'), parseJsonLength('12')]).toEqual([
      null,
      0,
      12,
    ])
  })

  test('byte strings that reach past their data are refused', () => {
    const text = (shape: number[], data: number[]) =>
      decode(
        one('BYTES'),
        {
          inputs: [
            { name: 'x', datatype: 'BYTES', shape, parameters: { binary_data_size: data.length } },
          ],
        },
        Uint8Array.from(data),
      )
    expect((text([2], [1, 0, 0, 0, 65, 0, 0, 0, 0]).inputs[0]!.data as Uint8Array[]).length).toBe(2)
    expect(refusal(() => text([1], [2, 0, 0, 0, 65]))).toMatch(/past the end/)
    expect(refusal(() => text([1], [255, 255, 255, 255, 65]))).toMatch(/past the end/)
    expect(refusal(() => text([1], [0, 0, 0, 0, 65]))).toMatch(/1 bytes follow/)
    expect(refusal(() => text([1e9], [0, 0, 0, 0]))).toMatch(/at least/)
    expect(refusal(() => text([1], [1, 0, 0, 0, 255]))).toMatch(/UTF-8/)
  })
})
