import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { AppError } from '#core/error.ts'
import { modelMetadata } from '#core/inference/metadata.ts'
import { decodeRequest, encodeReply, parseJsonLength } from '#core/inference/oip.ts'
import { allocate, bytesOf, type Tensor, type TensorData } from '#core/inference/tensor.ts'
import { DATATYPES, type Datatype, type Signature, type TensorSpec } from '#schemas/signature.ts'

const bytes = (value: unknown) =>
  new TextEncoder().encode(typeof value === 'string' ? value : JSON.stringify(value))
const spec = (name: string, datatype: Datatype, shape: number[]): TensorSpec => ({
  name,
  datatype,
  shape,
  batch_axis: shape[0] === -1 ? 0 : null,
})
const signatureOf = (inputs: TensorSpec[], outputs = inputs): Signature => ({
  inputs,
  outputs,
  batching: 'invariant',
})
const one = (datatype: Datatype, shape = [-1]) => signatureOf([spec('x', datatype, shape)])

function decode(signature: Signature, document: unknown, tail = new Uint8Array(0)) {
  const json = bytes(document)
  const body = new Uint8Array(json.length + tail.length)
  body.set(json)
  body.set(tail, json.length)
  return decodeRequest({ body, jsonLength: tail.length ? json.length : null, signature })
}
const decodeOne = (
  datatype: Datatype,
  shape: number[],
  data: unknown,
  open = shape.map(() => -1),
) => decode(one(datatype, open), { inputs: [{ name: 'x', datatype, shape, data }] }).inputs[0]!.data
function refusal(run: () => unknown): string {
  try {
    run()
  } catch (error) {
    expect(error).toBeInstanceOf(AppError)
    expect((error as AppError).code).toBe('invalid_input')
    return (error as AppError).public
  }
  throw new Error('it was taken')
}

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

describe('the binary extension', () => {
  test('JSON and binary inputs mix, and each output comes in the form it was asked for', () => {
    const signature = signatureOf([
      spec('a', 'FP32', [-1]),
      spec('b', 'INT16', [-1]),
      spec('c', 'BOOL', [-1]),
    ])
    const document = {
      parameters: { binary_data_output: true },
      inputs: [
        { name: 'c', datatype: 'BOOL', shape: [2], parameters: { binary_data_size: 2 } },
        { name: 'a', datatype: 'FP32', shape: [2], data: [1, 2] },
        { name: 'b', datatype: 'INT16', shape: [2], parameters: { binary_data_size: 4 } },
      ],
      outputs: [{ name: 'b' }, { name: 'a', parameters: { binary_data: false } }],
    }
    const request = decode(signature, document, Uint8Array.of(1, 0, 5, 0, 255, 255))
    expect(request.inputs.map(i => [...(i.data as Int16Array)])).toEqual([
      [1, 2],
      [5, -1],
      [1, 0],
    ])
    expect(request.rows).toBe(2)
    const outputs = request.outputs.map(o => request.inputs[o.index]!)
    const reply = encodeReply({
      modelName: 'm"',
      modelVersion: '3',
      id: 'i',
      signature,
      outputs,
      requested: request.outputs,
    })
    const json = JSON.parse(new TextDecoder().decode(reply.body.subarray(0, reply.jsonLength!)))
    expect(json).toEqual({
      model_name: 'm"',
      model_version: '3',
      id: 'i',
      outputs: [
        { name: 'b', datatype: 'INT16', shape: [2], parameters: { binary_data_size: 4 } },
        { name: 'a', datatype: 'FP32', shape: [2], data: [1, 2] },
      ],
    })
    expect([...reply.body.subarray(reply.jsonLength!)]).toEqual([5, 0, 255, 255])
  })

  test('a raw body is the one tensor; everything comes back as binary', () => {
    const raw = (signature: Signature, body: Uint8Array) =>
      decodeRequest({ body, jsonLength: 0, signature })
    const floats = bytesOf(Float32Array.of(1, 2, 3, 4) as TensorData as Float32Array)
    expect(raw(one('FP32', [-1, 2]), floats)).toMatchObject({
      rows: 2,
      inputs: [{ shape: [2, 2] }],
      outputs: [{ binary: true }],
    })
    expect(raw(one('FP32', [-1, -1]), floats)).toMatchObject({
      rows: 1,
      inputs: [{ shape: [1, 4] }],
    })
    expect(raw(one('BYTES', [-1, 1]), bytes('hello'))).toMatchObject({
      rows: 1,
      inputs: [{ shape: [1, 1] }],
    })
    expect(refusal(() => raw(one('FP32', [-1, 2]), floats.subarray(0, 12)))).toMatch(/takes 8/)
    expect(
      refusal(() => raw(signatureOf([spec('a', 'FP32', [1]), spec('b', 'FP32', [1])]), floats)),
    ).toMatch(/one input/)
  })

  test('whatever the datatype, shape and alignment, tensors come back bit for bit', () => {
    const tensor = fc
      .record({
        datatype: fc.constantFrom(...DATATYPES),
        shape: fc.array(fc.nat(3), { maxLength: 3 }),
        seed: fc.nat(),
      })
      .map(({ datatype, shape, seed }): Tensor => {
        const data = allocate(
          datatype,
          shape.reduce((x, y) => x * y, 1),
        )
        let state = seed
        const next = () => {
          state = (state * 1103515245 + 12345) & 0x7fffffff
          return state
        }
        if (Array.isArray(data)) {
          for (const i of data.keys()) data[i] = bytes('\ufeffé'.repeat(next() % 5))
        } else {
          const raw = bytesOf(data)
          for (let i = 0; i < raw.length; i++)
            raw[i] = datatype === 'BOOL' ? next() & 1 : next() >> 8
        }
        return { name: 'x', datatype, shape, data }
      })
    fc.assert(
      fc.property(
        fc.array(tensor, { minLength: 1, maxLength: 4 }),
        fc.string(),
        fc.boolean(),
        (given, id, binary) => {
          const tensors = given.map((t, i) => ({ ...t, name: `t${i}` }))
          const signature: Signature = {
            inputs: tensors.map(t => ({
              name: t.name,
              datatype: t.datatype,
              shape: t.shape,
              batch_axis: null,
            })),
            outputs: tensors.map(t => ({
              name: t.name,
              datatype: t.datatype,
              shape: t.shape,
              batch_axis: null,
            })),
            batching: 'unbatched',
          }
          const requested = tensors.map((t, index) => ({
            name: t.name,
            index,
            binary: binary || t.datatype.includes('F16') || t.datatype === 'FP16',
          }))
          const reply = encodeReply({
            modelName: 'm',
            modelVersion: '1',
            id,
            signature,
            outputs: tensors,
            requested,
          })
          // A reply's tensors have the form of a request's: read it back as one.
          const text = new TextDecoder().decode(
            reply.body.subarray(0, reply.jsonLength ?? undefined),
          )
          const json = bytes(
            text
              .replace('"outputs":', '"inputs":')
              .replace(/}$/, ',"parameters":{"binary_data_output":true}}'),
          )
          const tail = reply.body.subarray(reply.jsonLength ?? reply.body.length)
          const body = new Uint8Array(json.length + tail.length)
          body.set(json)
          body.set(tail, json.length)
          const back = decodeRequest({
            body,
            jsonLength: reply.jsonLength === null ? null : json.length,
            signature,
          })
          expect(back.id).toBe(id)
          for (let i = 0; i < tensors.length; i++) {
            expect(back.inputs[i]!.shape).toEqual(tensors[i]!.shape)
            expect(back.inputs[i]!.data).toEqual(tensors[i]!.data)
          }
        },
      ),
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
