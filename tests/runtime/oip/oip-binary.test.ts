/** Raw tensors behind JSON: every bit comes back, whatever the datatype, shape and place. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { decodeRequest, encodeReply } from '#core/inference/oip.ts'
import { allocate, bytesOf, type Tensor, type TensorData } from '#core/inference/tensor.ts'
import { DATATYPES, type Signature } from '#schemas/signature.ts'
import { bytes, decode, one, refusal, signatureOf, spec } from './decoding.ts'

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
