/** Which axis carries the rows, as far as a graph tells it, and what the trial corrects. */
import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import type { GraphValue } from '#core/models/onnx/inspect.ts'
import { inspect } from '#core/models/onnx/inspect.ts'
import { type BatchAxes, derive, settle } from '#core/models/onnx/signature.ts'
import { bytesSource } from '#core/models/onnx/wire.ts'

type Dims = GraphValue['dims']

function axes(inputs: Record<string, Dims>, outputs: Record<string, Dims>, declared?: BatchAxes) {
  const values = (all: Record<string, Dims>) =>
    Object.entries(all).map(([name, dims]) => ({ name, dims, datatype: 'FP32' as const }))
  const signature = derive({ inputs: values(inputs), outputs: values(outputs) }, declared)
  return Object.fromEntries(
    [...signature.inputs, ...signature.outputs].map(spec => [spec.name, spec.batch_axis]),
  )
}

describe('the batch axis is deduced', () => {
  test.each<[string, Record<string, Dims>, Record<string, Dims>, Record<string, number | null>]>([
    ['from the first dynamic axis 0', { x: ['N', 4] }, { y: ['N', 2] }, { x: 0, y: 0 }],
    ['where nothing has a name', { x: [null, 4] }, { y: [null] }, { x: 0, y: 0 }],
    [
      'for a state on axis 1',
      { x: ['batch', 's'], h: [2, 'batch', 64] },
      { y: ['batch'] },
      { x: 0, h: 1, y: 0 },
    ],
    ['when the state comes first', { h: [2, 'batch', 64], x: ['batch', 's'] }, {}, { h: 1, x: 0 }],
    ['for a nameless state', { x: [null, null], h: [2, null, 128] }, {}, { x: 0, h: 1 }],
    ['not for a scalar', { x: ['batch'], sr: [] }, {}, { x: 0, sr: null }],
    ['not for another name', { x: ['batch', 4], table: ['rows', 4] }, {}, { x: 0, table: null }],
    ['by the name batch', { ids: ['seq'], x: ['batch', 'seq'] }, {}, { ids: null, x: 0 }],
    ['for an output with a name of its own', { x: ['a', 3] }, { y: ['b', 2] }, { x: 0, y: 0 }],
    ['not where all is fixed', { x: [1, 3, 8] }, { y: [1, 2] }, { x: null, y: null }],
    ['not without inputs', {}, { y: ['n'] }, { y: null }],
  ])('%s', (_, inputs, outputs, expected) => {
    expect(axes(inputs, outputs)).toEqual(expected)
  })
})

describe('a declared batch axis wins and is checked', () => {
  test('it wins', () => {
    const inputs = { x: ['batch', 'time'] }
    expect(axes(inputs, { y: ['batch'] }, { x: null, y: null })).toEqual({ x: null, y: null })
    expect(axes(inputs, { y: ['time'] }, { x: 1 })).toEqual({ x: 1, y: 0 })
  })

  test.each([
    [{ z: 0 }, "declares a batch axis for 'z', which is no input or output; there are 'x', 'y'"],
    [{ x: 2 }, "batch axis of 'x' at 2, and its shape is [batch, 4]; axes count from 0"],
    [{ x: -1 }, "batch axis of 'x' at -1"],
    [{ x: 1 }, 'is fixed to 4; a batch axis must be a dynamic dimension'],
  ])('%j is refused', (declared, expected) => {
    expect(() => axes({ x: ['batch', 4] }, { y: ['batch'] }, declared as BatchAxes)).toThrow(
      expected,
    )
  })

  test('the trial refuses one that does not grow with the rows', () => {
    const signature = derive(
      {
        inputs: [{ name: 'x', datatype: 'FP32', dims: ['batch'] }],
        outputs: [{ name: 'y', datatype: 'FP32', dims: [null, null] }],
      },
      { y: 0 },
    )
    const seen = { rows: 3, one: { y: [2, 1] }, many: { y: [2, 3] } }
    expect(() => settle(signature, seen, { y: 0 })).toThrow(/its shape was \[2, 1\] for one row/)
    expect(settle(signature, seen).outputs[0]).toMatchObject({ shape: [-1, -1], batch_axis: 1 })
  })
})

test('an output without a declared rank gets the one that it has', () => {
  const signature = derive({
    inputs: [{ name: 'x', datatype: 'FP32', dims: ['batch', 4] }],
    outputs: [{ name: 'y', datatype: 'FP32', dims: null }],
  })
  const seen = { rows: 3, one: { y: [1, 4] }, many: { y: [3, 4] } }
  expect(settle(signature, seen).outputs[0]).toMatchObject({ shape: [-1, -1], batch_axis: 0 })
})

test('a recurrent model out of a package keeps its state on axis 1 and its rate without rows', () => {
  const bytes = readFileSync('node_modules/@ricky0123/vad-web/dist/silero_vad_v5.onnx')
  const { inputs } = derive(inspect(bytesSource(bytes)))
  expect(inputs).toEqual([
    { name: 'input', datatype: 'FP32', shape: [-1, -1], batch_axis: 0 },
    { name: 'state', datatype: 'FP32', shape: [2, -1, 128], batch_axis: 1 },
    { name: 'sr', datatype: 'INT64', shape: [], batch_axis: null },
  ])
})
