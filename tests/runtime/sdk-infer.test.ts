import fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { decodeRequest, encodeReply } from '#core/inference/oip.ts'
import type { Signature, TensorSpec } from '#schemas/signature.ts'
import { DATATYPES, Galley } from '#sdk/client.ts'
import { parseExact, stringifyExact } from '#sdk/inference/exact-json.ts'
import type { Datatype } from '#sdk/inference/infer.ts'
import { type Peer, startPeer } from './sdk-peer.ts'

const JSON_LENGTH = 'inference-header-content-length'

/** A model that gives back what it gets, behind the codec that runners use. */
let peer: Peer
let signature: Signature
let galley: Galley
beforeAll(async () => {
  peer = await startPeer(({ headers, body }) => {
    const length = headers[JSON_LENGTH]
    const jsonLength = length === undefined ? null : Number(length)
    const request = decodeRequest({ body: new Uint8Array(body), jsonLength, signature })
    const { inputs, outputs: requested } = request
    const outputs = requested.map(({ index }) => inputs[index]!)
    const reply = { modelName: 'echo', modelVersion: '1', id: 'a', signature, outputs, requested }
    const encoded = encodeReply(reply)
    const said: Record<string, string> =
      encoded.jsonLength === null ? {} : { [JSON_LENGTH]: String(encoded.jsonLength) }
    return { body: encoded.body, headers: said }
  })
  galley = new Galley({ baseUrl: peer.url })
})
afterAll(() => peer.close())

function takes(...datatypes: Datatype[]) {
  const specs = datatypes.map((datatype, at): TensorSpec => {
    return { name: `x${at}`, datatype, shape: [-1], batch_axis: 0 }
  })
  signature = { inputs: specs, outputs: specs, batching: 'invariant' }
}

const ARRAYS = {
  UINT8: Uint8Array,
  UINT16: Uint16Array,
  UINT32: Uint32Array,
  UINT64: BigUint64Array,
  INT8: Int8Array,
  INT16: Int16Array,
  INT32: Int32Array,
  INT64: BigInt64Array,
  FP32: Float32Array,
  FP64: Float64Array,
  FP16: Uint16Array,
  BF16: Uint16Array,
} as const

test('every datatype comes back bit by bit as typed arrays, whatever stands before it', async () => {
  const numeric = fc.constantFrom(...(Object.keys(ARRAYS) as (keyof typeof ARRAYS)[]))
  const raw = fc.uint8Array({ minLength: 8, maxLength: 64 })
  const tensors = fc.array(fc.tuple(numeric, raw), { minLength: 1, maxLength: 3 })
  await fc.assert(
    fc.asyncProperty(
      tensors,
      fc.array(fc.string({ unit: 'grapheme' }), { minLength: 1 }),
      async (given, texts) => {
        takes('BYTES', ...given.map(([datatype]) => datatype))
        const inputs = given.map(([datatype, bytes], at) => {
          const data = new ARRAYS[datatype](bytes.slice(0, bytes.length & ~7).buffer)
          return { name: `x${at + 1}`, datatype, shape: [data.length], data }
        })
        const words = { name: 'x0', shape: [texts.length], data: texts }
        const rows = Math.min(texts.length, ...inputs.map(({ data }) => data.length))
        const cut = inputs.map(each => ({ ...each, shape: [rows], data: each.data.slice(0, rows) }))
        const all = [{ ...words, shape: [rows], data: texts.slice(0, rows) }, ...cut]
        const reply = await galley.inferBinary('echo', { inputs: all })
        const [first, ...rest] = reply.outputs
        expect((first!.data as Uint8Array[]).map(each => new TextDecoder().decode(each))).toEqual(
          texts.slice(0, rows),
        )
        expect(rest.map(({ data }) => data)).toEqual(cut.map(({ data }) => data))
      },
    ),
    { numRuns: 60 },
  )
})

test('BOOL is taken as booleans, and an output that is asked for comes alone', async () => {
  takes('BOOL', 'FP32')
  const inputs = [
    { name: 'x0', shape: [2], data: [true, false] },
    { name: 'x1', shape: [2], data: Float32Array.of(1, 2) },
  ]
  const reply = await galley.inferBinary('echo', { inputs, outputs: ['x0'] })
  expect(reply.outputs).toEqual([
    { name: 'x0', datatype: 'BOOL', shape: [2], data: Uint8Array.of(1, 0) },
  ])
})

test('an array that cannot hold the datatype is refused before anything is sent', async () => {
  const inputs = [{ name: 'x0', datatype: 'FP32' as const, shape: [1], data: Int32Array.of(1) }]
  const call = galley.inferBinary('echo', { inputs })
  await expect(call).rejects.toThrow('A Int32Array cannot hold FP32')
})

test('64-bit integers keep every digit through JSON, both ways', async () => {
  takes('INT64')
  const data = [9_007_199_254_740_993n, -9_223_372_036_854_775_808n, 7]
  const reply = await galley.infer('echo', {
    inputs: [{ name: 'x0', datatype: 'INT64', shape: [3], data }],
  })
  expect(reply.outputs[0]!.data).toEqual(data)
})

test('exact JSON is JSON for everything but integers that a number cannot hold', () => {
  fc.assert(
    fc.property(fc.jsonValue(), value => {
      const text = JSON.stringify(value)
      const parsed = parseExact(text)
      // Wide integers come as bigints; printed again, they are the same text.
      return JSON.stringify(JSON.parse(stringifyExact(parsed))) === JSON.stringify(JSON.parse(text))
    }),
  )
  fc.assert(
    fc.property(fc.bigInt(), value => BigInt(parseExact(String(value)) as bigint) === value),
  )
})

test('there is an array for every datatype', () => {
  expect([...Object.keys(ARRAYS), 'BOOL', 'BYTES'].sort()).toEqual([...DATATYPES].sort())
})
