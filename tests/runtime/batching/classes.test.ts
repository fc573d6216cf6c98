/**
 * What publishing finds out about a model decides what the batcher does with it: real graphs, judged by the
 * validator and run by the engine, asked by many callers at once.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test, vi } from 'vitest'
import { allocate, bytesOf, type Tensor } from '#core/inference/tensor.ts'
import { createBatcher } from '#gpu-runners/batcher/batcher.ts'
import type { LoadedModel } from '#gpu-runners/engines/engine.ts'
import { openOnnxRuntime } from '#gpu-runners/engines/onnxruntime.ts'
import { isClose } from '#gpu-runners/validate/compare.ts'
import { validateModel } from '#gpu-runners/validate/validate.ts'
import type { Signature } from '#schemas/signature.ts'
import * as models from '#tests/models.ts'
import { textEncoder } from '#tests/text-encoder.ts'
import { randomOf } from '../../chaos/random.ts'

vi.setConfig({ testTimeout: 60_000 })

const log = { info() {}, error() {} }
const CALLERS = 48
const OPEN_SIZES = [3, 5]
const small = { seed: 1, layers: 1, width: 16, heads: 2, vocabulary: 64, positions: 16 }

/** The model as it is published, and every run that its batcher asks for. */
async function published(bytes: Uint8Array) {
  const folder = mkdtempSync(join(tmpdir(), 'galley-classes-'))
  const graphPath = join(folder, 'model.onnx')
  writeFileSync(graphPath, bytes)
  const files = [{ path: 'model.onnx', localPath: graphPath, sha256: '', size: bytes.length }]
  const verdict = await validateModel({ log }, { graph: 'model.onnx', files })
  if (!verdict.ok) throw new Error(verdict.detail)
  const { signature } = verdict
  const engine = openOnnxRuntime({ log })
  onTestFinished(async () => {
    await engine.close()
    rmSync(folder, { recursive: true })
  })
  const model = await engine.load({ digest: 'd', family: 'd', graphPath, signature })
  const runs: (readonly Tensor[])[] = []
  const seen: LoadedModel = {
    ...model,
    run(inputs, outputs) {
      runs.push(inputs)
      return model.run(inputs, outputs)
    },
  }
  const batcher = createBatcher({ model: seen, signature, clock: { now: () => Date.now() } })
  return { model, signature, batcher, runs }
}

/** One to three rows of small whole numbers; open dimensions have one of two sizes. */
function request({ inputs }: Signature, caller: number): Tensor[] {
  const random = randomOf(caller)
  const rows = random.int(1, 3)
  const size = random.pick(OPEN_SIZES)
  return inputs.map(({ name, datatype, shape: wanted, batch_axis }) => {
    const shape = wanted.map((dim, axis) => (axis === batch_axis ? rows : dim === -1 ? size : dim))
    const data = allocate(
      datatype,
      shape.reduce((a, b) => a * b, 1),
    ) as Float32Array
    for (let i = 0; i < data.length; i++) {
      const value = name === 'attention_mask' ? 1 : random.int(0, 9)
      data[i] = (datatype === 'INT64' ? BigInt(value) : value) as number
    }
    return { name, datatype, shape, data }
  })
}

const rowsOf = ({ inputs }: Signature, tensors: readonly Tensor[]) =>
  tensors[0]!.shape[inputs[0]!.batch_axis ?? 0]!

function isEqual(a: Tensor, b: Tensor, isExact: boolean): boolean {
  if (String(a.shape) !== String(b.shape)) return false
  const [left, right] = [a.data, b.data] as [Float32Array, Float32Array]
  return isExact
    ? Buffer.from(bytesOf(left)).equals(bytesOf(right))
    : left.every((value, i) => isClose(value, right[i], a.datatype))
}

test.each([
  { what: 'a running sum', bytes: models.stateful(), classes: ['invariant'] },
  {
    what: 'a network',
    bytes: models.mlp(7, [30, 64, 1]),
    classes: ['invariant', 'shape_sensitive'],
  },
  { what: 'a text encoder', bytes: textEncoder(small), classes: ['invariant', 'shape_sensitive'] },
  { what: 'rows less their mean', bytes: models.crossTalk(), classes: ['unbatched'] },
  { what: 'one number for all rows', bytes: models.batchSum(), classes: ['unbatched'] },
])('$what: each of many callers gets what it gets alone', async ({ bytes, classes }) => {
  const { model, signature, batcher, runs } = await published(bytes)
  expect(classes).toContain(signature.batching)
  const names = signature.outputs.map(output => output.name)
  const asked = Array.from({ length: CALLERS }, (_, caller) => request(signature, caller))
  const alone: Tensor[][] = []
  for (const inputs of asked) alone.push((await model.run(inputs, names)).outputs)
  const answers = await Promise.all(
    asked.map((inputs, i) => batcher.submit({ tenant: `t${i % 3}`, inputs, outputs: names })),
  )
  const isExact = signature.batching !== 'shape_sensitive'
  answers.forEach(({ outputs }, i) => {
    outputs.forEach((output, o) => {
      expect(isEqual(output, alone[i]![o]!, isExact), `${i} ${output.name}`).toBe(true)
    })
  })
  // Nothing is padded: as many rows run as were sent, and each run has rows of one shape.
  const sum = (all: readonly (readonly Tensor[])[]) =>
    all.reduce((total, inputs) => total + rowsOf(signature, inputs), 0)
  expect(sum(runs)).toBe(sum(asked))
  for (const inputs of runs) {
    for (const { shape, data } of inputs) {
      expect(data.length).toBe(shape.reduce((a, b) => a * b, 1))
    }
  }
  if (signature.batching === 'unbatched') expect(runs.length).toBe(CALLERS)
  else expect(runs.length).toBeLessThan(CALLERS / 2)
})
