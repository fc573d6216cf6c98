import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Tensor } from '#core/inference/tensor.ts'
import { mlp } from '#tests/models.ts'
import { openWorkbench, parseLines, signature, spec, type Workbench } from './bulk-job.ts'

let bench: Workbench
beforeAll(async () => {
  bench = await openWorkbench()
})
afterAll(() => bench.close())

const VAD = fileURLToPath(import.meta.resolve('@ricky0123/vad-web/dist/silero_vad_v5.onnx'))

test('Silero, with its state on axis 1 and its rate for all rows, answers each row as if it ran alone', async () => {
  const inputs = [
    spec('input', 'FP32', [-1, 512]),
    spec('state', 'FP32', [2, -1, 128], 1),
    spec('sr', 'INT64', []),
  ]
  const outputs = [spec('output', 'FP32', [-1, 1]), spec('stateN', 'FP32', [2, -1, 128], 1)]
  const model = await bench.load(VAD, signature(inputs, outputs))
  const wave = (i: number, n: number) => Array.from({ length: n }, (_, t) => Math.sin(t / (i + 2)))
  const rows = Array.from({ length: 70 }, (_, i) => ({
    id: `clip-${i}`,
    input: wave(i, 512).map(Math.fround),
    state: [wave(i, 128), wave(i + 99, 128)].map(part => part.map(v => Math.fround(v / 10))),
    sr: 16_000,
  }))
  const results = await bench.results(model, rows.map(row => `${JSON.stringify(row)}\n`).join(''))
  for (const [i, row] of rows.entries()) {
    const given: Tensor[] = [
      { name: 'input', datatype: 'FP32', shape: [1, 512], data: Float32Array.from(row.input) },
      {
        name: 'state',
        datatype: 'FP32',
        shape: [2, 1, 128],
        data: Float32Array.from(row.state.flat()),
      },
      { name: 'sr', datatype: 'INT64', shape: [], data: BigInt64Array.of(16_000n) },
    ]
    const [probability, state] = (await model.run(given, ['output', 'stateN'])).outputs
    const result = results[i]!
    expect([result.index, result.id]).toEqual([i, row.id])
    expect((result.outputs!.output as number[])[0]).toBeCloseTo(Number(probability!.data[0]), 5)
    const flat = (result.outputs!.stateN as number[][]).flat()
    const furthest = Math.max(...flat.map((v, j) => Math.abs(v - Number(state!.data[j]))))
    expect(furthest).toBeLessThan(1e-4)
  }
})

test('the example model over its own data gives what a direct run gives, bit for bit', async () => {
  const folder = new URL('../../examples/iris/', import.meta.url)
  const model = await bench.load(
    fileURLToPath(new URL('iris.onnx', folder)),
    signature(
      [spec('measurements', 'FP32', [-1, 4])],
      [spec('probabilities', 'FP32', [-1, 3]), spec('species', 'BYTES', [-1])],
    ),
  )
  const measured = readFileSync(new URL('iris.csv', folder), 'utf8')
    .split('\n')
    .map(row => row.split(',').slice(0, 4).map(Number))
    .filter(row => row.length === 4 && row.every(Number.isFinite))
  const results = await bench.results(
    model,
    measured.map(measurements => `${JSON.stringify({ measurements })}\n`).join(''),
  )
  const shape = [measured.length, 4]
  const data = Float32Array.from(measured.flat())
  const names = model.signature.outputs.map(output => output.name)
  const { outputs } = await model.run(
    [{ name: 'measurements', datatype: 'FP32', shape, data }],
    names,
  )
  expect(results.length).toBeGreaterThanOrEqual(150)
  expect(results.flatMap(result => result.outputs!.probabilities)).toEqual([
    ...(outputs[0]!.data as Float32Array),
  ])
  const species = (outputs[1]!.data as Uint8Array[]).map(text => Buffer.from(text).toString())
  expect(results.map(result => result.outputs!.species)).toEqual(species)
})

test('memory does not grow with the file: 300 MB of rows need less than half of that', async () => {
  const width = 1_000
  const model = await bench.load(
    mlp(3, [width, 4]),
    signature([spec('x', 'FP32', [-1, width])], [spec('y', 'FP32', [-1, 4])]),
  )
  const row = Buffer.from(
    `${JSON.stringify({ x: Array.from({ length: width }, (_, i) => i / 7) })}\n`,
  )
  const block = Buffer.concat(Array.from({ length: 64 }, () => row))
  const blocks = Math.ceil(300e6 / block.length)
  async function* content() {
    for (let i = 0; i < blocks; i++) yield block
  }
  const sha256 = await bench.store(content())
  const before = process.memoryUsage.rss()
  let peak = before
  const watch = setInterval(() => {
    peak = Math.max(peak, process.memoryUsage.rss())
  }, 10)
  const { plan, shards, merged } = await bench.job(model, sha256).run()
  clearInterval(watch)
  expect(plan.rows).toBe(blocks * 64)
  expect(shards.reduce((sum, shard) => sum + shard.rowsDone - shard.rowsFailed, 0)).toBe(plan.rows)
  const results = parseLines(await bench.text(merged.key))
  expect(results.at(-1)!.index).toBe(plan.rows - 1)
  expect((peak - before) / 1e6).toBeLessThan(150)
})
