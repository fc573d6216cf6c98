import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Named } from '#core/decisions/named.ts'
import { ranked, replacedRows } from '#core/decisions/reasons.ts'
import { compileScoring } from '#core/decisions/scoring.ts'
import { decodeRequest, encodeReply } from '#core/inference/oip.ts'
import type { ModelInput } from '#schemas/decision.ts'
import type { ValueType } from '#schemas/feature.ts'
import type { Datatype, Signature } from '#schemas/signature.ts'

const SCOPE: Record<string, ValueType> = {
  'card.count': { type: 'int' },
  'card.spent': { type: 'decimal', scale: 2 },
  'request.online': { type: 'bool' },
  ratio: { type: 'float' },
}
const INPUT: ModelInput = {
  model: 'm',
  version: null,
  tensor: 'x',
  features: Object.keys(SCOPE),
  missing: { ratio: -1, 'card.spent': 0.5 },
  output: { tensor: 'y', index: 1 },
}
const scoring = compileScoring(INPUT, SCOPE)
const tensor = (name: string, datatype: Datatype, shape: number[]) => ({
  name,
  datatype,
  shape,
  batch_axis: 0,
})

function signatureOf(datatype: 'FP32' | 'FP64', columns: number): Signature {
  return {
    inputs: [tensor('x', 'FP32', [-1, 4])],
    outputs: [tensor('y', datatype, [-1, columns])],
    batching: 'invariant',
  }
}

/** What a runner answers when its model gives these numbers. */
function answered(datatype: 'FP32' | 'FP64', columns: number, numbers: number[]) {
  const signature = signatureOf(datatype, columns)
  const data = datatype === 'FP32' ? Float32Array.from(numbers) : Float64Array.from(numbers)
  const outputs = [{ name: 'y', datatype, shape: [numbers.length / columns, columns], data }]
  const requested = [{ name: 'y', index: 0, binary: true }]
  return encodeReply({ modelName: 'm', modelVersion: '1', id: 'i', signature, outputs, requested })
}

describe('the row that a model is shown', () => {
  test('has numbers in units, conditions as 1 and 0, and stand-ins for what is missing', () => {
    const values: Named = {
      'card.count': 7,
      'card.spent': 1234,
      'request.online': true,
      ratio: 0.1,
    }
    expect([...scoring.row(values)]).toEqual([7, Math.fround(12.34), 1, Math.fround(0.1)])
    const nothing = { 'card.count': null, 'card.spent': null, 'request.online': null, ratio: null }
    expect([...scoring.row(nothing)]).toEqual([0, 0.5, 0, -1])
  })

  test('takes integers that no double holds from their digits', () => {
    const values = { 'card.count': 1, 'card.spent': '9007199254740993', 'request.online': false }
    expect(scoring.row({ ...values, ratio: 0 })[1]).toBe(Math.fround(90_071_992_547_409.94))
  })

  test('arrives at the runner bit for bit, however many rows there are', () => {
    const float = fc.float({ noNaN: true, noDefaultInfinity: true })
    const told = fc.option(fc.record({ card: fc.string({ unit: 'grapheme' }) }), { nil: undefined })
    fc.assert(
      fc.property(fc.array(float, { minLength: 4, maxLength: 40 }), told, (numbers, parameters) => {
        const rows = Float32Array.from(numbers.slice(0, numbers.length - (numbers.length % 4)))
        const { body, jsonLength } = scoring.question(rows, parameters)
        const signature = signatureOf('FP32', 2)
        const asked = decodeRequest({ body, jsonLength, signature })
        const { inputs, outputs } = asked
        expect(asked.parameters).toEqual(parameters ?? {})
        expect(inputs[0]!.shape).toEqual([rows.length / 4, 4])
        expect(new Uint8Array((inputs[0]!.data as Float32Array).slice().buffer)).toEqual(
          new Uint8Array(rows.buffer),
        )
        expect(outputs).toEqual([{ name: 'y', index: 0, binary: true }])
        expect(jsonLength % 8).toBe(0)
      }),
    )
  })
})

describe('the score', () => {
  test.each(['FP32', 'FP64'] as const)(
    'of %s is the element that is named, to the bit',
    datatype => {
      const numbers = [0.1, 0.2, 0.3, 1e-30].map(datatype === 'FP32' ? Math.fround : Number)
      expect(scoring.scores(answered(datatype, 2, numbers), 2)).toEqual([numbers[1], numbers[3]])
    },
  )

  test.each([Number.NaN, Number.POSITIVE_INFINITY])(
    'is no %s: nothing is decided by it',
    number => {
      const refusal = () => scoring.scores(answered('FP32', 2, [0, number]), 1)
      expect(refusal).toThrow(expect.objectContaining({ code: 'inference_failed' }))
    },
  )

  test('is not taken from an output that has fewer elements', () => {
    const refusal = () => scoring.scores(answered('FP32', 1, [0.5]), 1)
    expect(refusal).toThrow(expect.objectContaining({ code: 'inference_failed' }))
  })
})

describe('an explanation', () => {
  test('replaces each feature that is there, one at a time, by what stands for its absence', () => {
    const row = Float32Array.of(3, 0.5, 1, 4)
    const { places, rows } = replacedRows(row, INPUT)
    expect(places).toEqual([0, 2, 3])
    expect([...rows]).toEqual([0, 0.5, 1, 4, 3, 0.5, 0, 4, 3, 0.5, 1, -1])
  })

  test('names first what moved the score the most, and by how much', () => {
    const row = Float32Array.of(3, 0.5, 1, 4)
    const replaced = replacedRows(row, INPUT)
    expect(ranked({ score: 0.75, row }, INPUT, replaced, [0.5, 0.875, 0])).toEqual([
      { feature: 'ratio', value: 4, replaced_by: -1, change: 0.75 },
      { feature: 'card.count', value: 3, replaced_by: 0, change: 0.25 },
      { feature: 'request.online', value: 1, replaced_by: 0, change: -0.125 },
    ])
  })
})
