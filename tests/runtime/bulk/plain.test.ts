/** Rows that go from bytes straight into a batch are those that the reader of JSON would have put there. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { bytesOf, type TensorData } from '#core/inference/tensor.ts'
import { batches } from '#gpu-runners/bulk/codec/batch.ts'
import { rowReader } from '#gpu-runners/bulk/codec/row.ts'
import type { Datatype, Signature } from '#schemas/signature.ts'

type Read = { id: string | null; tensors: string[] } | null

function signatureOf(datatype: Datatype, shape: number[], more: string[] = []): Signature {
  const spec = (name: string) => ({ name, datatype, shape: [-1, ...shape], batch_axis: 0 })
  return { inputs: ['x', ...more].map(spec), outputs: [], batching: 'invariant' }
}

/** As its bits: 0 and -0 are two numbers. */
const bits = (data: TensorData) => Buffer.from(bytesOf(data as Float32Array)).toString('hex')

function plainly(signature: Signature, line: string): Read {
  const all = batches(signature)
  const added = all.addPlain!(Buffer.from(`${line}\n`), 0, 0)
  if (!added) return null
  expect(added.next).toBe(Buffer.byteLength(line) + 1)
  return { id: added.id, tensors: added.batch.close().inputs.map(({ data }) => bits(data)) }
}

/** By JSON.parse, as every other line; null: it is an error row. */
function exactly(signature: Signature, line: string): Read {
  const row = rowReader(signature)(line)
  if ('error' in row) return null
  try {
    const batch = batches(signature).add(row.values, 0)
    return { id: row.id, tensors: batch.close().inputs.map(({ data }) => bits(data)) }
  } catch {
    return null
  }
}

const digits = (min: number, max: number) =>
  fc.array(fc.integer({ min: 0, max: 9 }), { minLength: min, maxLength: max }).map(d => d.join(''))
const integer = fc.oneof(
  fc.constant('0'),
  fc.tuple(fc.integer({ min: 1, max: 9 }), digits(0, 20)).map(parts => parts.join('')),
)
/** Numbers as JSON may write them, and some that it may not. */
const number = fc.oneof(
  fc.float({ noNaN: true, noDefaultInfinity: true }).map(value => JSON.stringify(value)),
  fc.double({ noNaN: true, noDefaultInfinity: true }).map(value => JSON.stringify(value)),
  fc.integer().map(String),
  fc
    .tuple(
      fc.constantFrom('', '-'),
      integer,
      fc.oneof(
        fc.constant(''),
        digits(1, 25).map(d => `.${d}`),
      ),
      fc.oneof(
        fc.constant(''),
        fc
          .tuple(fc.constantFrom('e', 'E'), fc.constantFrom('', '+', '-'), digits(1, 3))
          .map(parts => parts.join('')),
      ),
    )
    .map(parts => parts.join('')),
  fc.constantFrom('01', '-', '1.', '.5', '1e', '+1', 'NaN', '"1"', 'null', '[]', '[1]', 'true'),
)
const space = fc.constantFrom('', '', '', ' ', '\t', '\r', '  ')

test('any number read plainly has the bits that JSON.parse gives it, for every datatype', () => {
  const datatype = fc.constantFrom<Datatype>(
    ...(['FP32', 'FP64', 'INT8', 'INT16', 'INT32', 'INT64'] as const),
    ...(['UINT8', 'UINT16', 'UINT32', 'UINT64'] as const),
  )
  fc.assert(
    fc.property(datatype, number, (datatype, text) => {
      const signature = signatureOf(datatype, [])
      const read = plainly(signature, `{"x":${text}}`)
      if (read) expect(read).toEqual(exactly(signature, `{"x":${text}}`))
    }),
    { numRuns: 3_000 },
  )
})

test('numbers half way between two floats, and next to that, are read as JSON.parse reads them', () => {
  fc.assert(
    fc.property(
      fc.float({ noNaN: true, noDefaultInfinity: true, min: 0 }),
      fc.constantFrom('', '0000000001', '00000000000001'),
      (value, more) => {
        const above = new Float32Array(new Uint32Array([bitsOfFloat(value) + 1]).buffer)[0]!
        const half = (value + above) / 2
        const text = /e/.test(String(half)) ? String(half) : `${half}${more && `.${more}`}`
        const signature = signatureOf('FP32', [])
        const read = plainly(signature, `{"x":${text}}`)
        if (read) expect(read).toEqual(exactly(signature, `{"x":${text}}`))
      },
    ),
    { numRuns: 2_000 },
  )
})

test('any line is read as JSON.parse has it or left to it: keys, ids, nesting, spaces, nonsense', () => {
  const plainNumber = fc.oneof(
    { weight: 30, arbitrary: fc.integer({ min: -999, max: 999 }).map(String) },
    { weight: 1, arbitrary: number },
  )
  const list = (item: fc.Arbitrary<string>, size: number) =>
    fc
      .oneof(
        { weight: 9, arbitrary: fc.array(item, { minLength: size, maxLength: size }) },
        { weight: 1, arbitrary: fc.array(item, { maxLength: size + 1 }) },
      )
      .map(items => `[${items.join(' , ')}]`)
  const values = fc.oneof(list(plainNumber, 6), list(list(plainNumber, 3), 2))
  const odd = fc.tuple(
    fc.constantFrom('"id"', '"id"', '"z"', '"x"', 'x', '"\\u0078"'),
    fc.constantFrom('"a-17"', '17', '0', '-0', '007', '1.5', '"ä"', '"a\\n"', '"', 'null'),
  )
  const members = fc
    .tuple(values, values, fc.array(odd, { maxLength: 1 }), fc.boolean())
    .map(([x, y, odds, isTurned]) => {
      const all = [...odds, ['"x"', x], ['"y"', y]]
      return isTurned ? all.reverse() : all
    })
  const end = fc.oneof(
    { weight: 9, arbitrary: fc.constant('}') },
    { weight: 1, arbitrary: fc.constantFrom('', '},', ']', '}}') },
  )
  const line = fc
    .tuple(members, space, end)
    .map(
      ([members, gap, end]) =>
        `{${gap}${members.map(([key, value]) => `${key}${gap}:${gap}${value}`).join(`${gap},${gap}`)}${gap}${end}`,
    )
  const signature = signatureOf('FP32', [2, 3], ['y'])
  let plain = 0
  fc.assert(
    fc.property(line, text => {
      const read = plainly(signature, text)
      if (!read) return
      plain++
      expect(read).toEqual(exactly(signature, text))
    }),
    { numRuns: 5_000 },
  )
  expect(plain).toBeGreaterThan(500)
})

test('what usual programs write is read plainly', () => {
  const signature = signatureOf('FP32', [3])
  for (const line of [
    '{"x":[0.5,-1,3e-05]}',
    '{"x": [0.12345678901234567, 1.2345678901234567e-05, -0.0], "id": "order-17"}',
    '{"id":12,"x":[1.0,2.0,3.0]}\r',
  ]) {
    expect(plainly(signature, line)).toEqual(exactly(signature, line))
    expect(plainly(signature, line)).not.toBeNull()
  }
})

function bitsOfFloat(value: number): number {
  return new Uint32Array(Float32Array.of(value).buffer)[0]!
}
