import { fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readdir, readFile, readlink, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest'
import type { AppError } from '#core/error.ts'
import { allocate, bytesOf, type Tensor, type TensorData } from '#core/inference/tensor.ts'
import { createBatcher } from '#gpu-runners/batcher/batcher.ts'
import { runRows } from '#gpu-runners/batcher/rows.ts'
import { type Engine, EngineCrash, type LoadedModel } from '#gpu-runners/engines/engine.ts'
import { OUTPUT_BYTES_MAX } from '#gpu-runners/engines/frames.ts'
import { type EngineOptions, openOnnxRuntime } from '#gpu-runners/engines/onnxruntime.ts'
import { DATATYPES, type Datatype, type Signature, type TensorSpec } from '#schemas/signature.ts'
import { failsOnNegative, identity, mlp, slow, stateful } from '#tests/models.ts'

// Processes start and end here; a busy machine may take its time.
vi.setConfig({ testTimeout: 60_000 })

const log = { info() {}, error() {} }
const clock = { now: () => Date.now() }
const SILERO = 'node_modules/@ricky0123/vad-web/dist/silero_vad_v5.onnx'
let folder = ''
const engines: Engine[] = []

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'galley-engine-'))
})
afterEach(async () => {
  for (const engine of engines.splice(0)) await engine.close()
})
afterAll(() => rm(folder, { recursive: true }))

function open(options: Partial<EngineOptions> = {}): Engine {
  const engine = openOnnxRuntime({ log, ...options })
  engines.push(engine)
  return engine
}
const spec = (
  name: string,
  shape: number[],
  datatype: Datatype = 'FP32',
  axis: number | null = 0,
): TensorSpec => ({ name, datatype, shape, batch_axis: axis })
const signatureOf = (inputs: TensorSpec[], outputs: TensorSpec[]): Signature => ({
  inputs,
  outputs,
  batching: 'invariant',
})
const XY = signatureOf([spec('x', [-1, 4])], [spec('y', [-1, 4])])
let files = 0
async function load(
  engine: Engine,
  graph: Uint8Array | string,
  signature: Signature,
  lane?: string,
): Promise<LoadedModel> {
  let graphPath = graph as string
  if (typeof graph !== 'string') {
    graphPath = join(folder, `${files++}.onnx`)
    await writeFile(graphPath, graph)
  }
  return engine.load({ digest: `d${files}`, graphPath, signature }, { lane })
}
const x = (values: number[], width = 4): Tensor => ({
  name: 'x',
  datatype: 'FP32',
  shape: [values.length / width, width],
  data: Float32Array.from(values),
})
const pidOf = (engine: Engine, i = 0) => engine.processes()[i]!.pid
const flat = (data: TensorData) =>
  Array.isArray(data)
    ? Buffer.from(JSON.stringify(data.map(e => [...e])))
    : Buffer.from(bytesOf(data))
async function gone(pid: number): Promise<boolean> {
  for (let i = 0; i < 500; i++) {
    try {
      process.kill(pid, 0)
    } catch {
      return true
    }
    await new Promise(resolve => setTimeout(resolve, 10))
  }
  return false
}

describe('values', () => {
  test('every datatype passes through the engine bit for bit, in any size', async () => {
    const engine = open()
    for (const datatype of DATATYPES.filter(d => d !== 'BF16')) {
      const signature = signatureOf(
        [spec('INPUT0', [-1, -1], datatype)],
        [spec('OUTPUT0', [-1, -1], datatype)],
      )
      const model = await load(engine, identity(datatype), signature)
      for (const rows of [0, 1, 3, 50_000]) {
        const data = allocate(datatype, rows * 3)
        if (Array.isArray(data)) {
          for (const i of data.keys()) data[i] = new TextEncoder().encode('\ufeffé'.repeat(i % 4))
        } else {
          const raw = bytesOf(data)
          for (const i of raw.keys()) raw[i] = datatype === 'BOOL' ? i % 2 : (i * 31) % 120
        }
        const { outputs, computeUs } = await model.run(
          [{ name: 'INPUT0', datatype, shape: [rows, 3], data }],
          ['OUTPUT0'],
        )
        expect([outputs[0]!.name, outputs[0]!.datatype, outputs[0]!.shape]).toEqual([
          'OUTPUT0',
          datatype,
          [rows, 3],
        ])
        expect(Buffer.compare(flat(outputs[0]!.data), flat(data)), datatype).toBe(0)
        expect(Number.isInteger(computeUs) && computeUs > 0).toBe(true)
      }
    }
  })

  test('outputs come in the order asked for, and only those', async () => {
    const signature = signatureOf(
      [spec('x', [-1, 4]), spec('state', [2, -1, 4], 'FP32', 1), spec('gain', [], 'FP32', null)],
      [spec('y', [-1, 4]), spec('state_out', [2, -1, 4], 'FP32', 1)],
    )
    const model = await load(open(), stateful(), signature)
    const inputs: Tensor[] = [
      x([1, 2, 3, 4]),
      { name: 'state', datatype: 'FP32', shape: [2, 1, 4], data: new Float32Array(8).fill(1) },
      { name: 'gain', datatype: 'FP32', shape: [], data: Float32Array.of(10) },
    ]
    const { outputs } = await model.run(inputs, ['state_out', 'y'])
    expect(outputs.map(o => [o.name, ...o.data])).toEqual([
      ['state_out', 11, 21, 31, 41, 11, 21, 31, 41],
      ['y', 22, 42, 62, 82],
    ])
    expect((await model.run(inputs, ['y'])).outputs.map(o => o.name)).toEqual(['y'])
  })

  test('a stateful voice model answers 20 callers in one batch as it answers each alone', async () => {
    const signature = signatureOf(
      [
        spec('input', [-1, -1]),
        spec('state', [2, -1, 128], 'FP32', 1),
        spec('sr', [], 'INT64', null),
      ],
      [spec('output', [-1, 1]), spec('stateN', [2, -1, 128], 'FP32', 1)],
    )
    const model = await load(open(), join(process.cwd(), SILERO), signature)
    const sizes: number[] = []
    const batcher = createBatcher({ model, signature, clock, onBatch: m => sizes.push(m.requests) })
    const callers = Array.from({ length: 20 }, (_, c): Tensor[] => [
      {
        name: 'input',
        datatype: 'FP32',
        shape: [1, c % 2 ? 512 : 256],
        data: new Float32Array(c % 2 ? 512 : 256).map((_, i) => Math.sin(i * (c + 1))),
      },
      {
        name: 'state',
        datatype: 'FP32',
        shape: [2, 1, 128],
        data: new Float32Array(256).map((_, i) => Math.cos(i + c)),
      },
      { name: 'sr', datatype: 'INT64', shape: [], data: BigInt64Array.of(c % 2 ? 16000n : 8000n) },
    ])
    const names = ['output', 'stateN']
    const together = await Promise.all(
      callers.map((inputs, c) => batcher.submit({ tenant: `t${c}`, inputs, outputs: names })),
    )
    expect(sizes).toEqual([10, 10])
    for (const [c, inputs] of callers.entries()) {
      const alone = await model.run(inputs, names)
      for (const [i, output] of together[c]!.outputs.entries()) {
        expect(output.shape).toEqual(alone.outputs[i]!.shape)
        expect(output.data).toEqual(alone.outputs[i]!.data)
      }
    }
  })
})

describe('failures', () => {
  test('rows on which the model fails are named; the others come out', async () => {
    const model = await load(open(), failsOnNegative(), XY)
    const rows = Array.from({ length: 100 }, (_, r) => Array(4).fill(r === 17 || r === 60 ? -1 : r))
    const { blocks, failures } = await runRows(model, [x(rows.flat())], ['y'])
    expect(failures.map(f => [f.row, f.error.code]).sort()).toEqual([
      [17, 'inference_failed'],
      [60, 'inference_failed'],
    ])
    expect(blocks.reduce((sum, b) => sum + b.to - b.from, 0)).toBe(98)
    const { public: text } = failures[0]!.error as AppError
    expect(text).toMatch(/look_up/)
    expect(text).not.toContain(folder)
  })

  test("a file that is no graph is refused in the engine's words, without its path, and harms no other model", async () => {
    const engine = open()
    const model = await load(engine, mlp(1, [4, 4]), XY)
    const error = await load(engine, new TextEncoder().encode('not a graph'), XY).catch(e => e)
    expect(error.code).toBe('invalid_model')
    expect(error.public).not.toContain(folder)
    expect((await model.run([x([1, 2, 3, 4])], ['y'])).outputs[0]!.shape).toEqual([1, 4])
  })

  test('killing the engine at work loses no request: it is blamed on nobody and its models come back', async () => {
    const engine = open()
    const [busy, other] = [
      await load(engine, slow(2000), XY),
      await load(engine, mlp(1, [4, 4]), XY),
    ]
    const expected = (await other.run([x([1, 2, 3, 4])], ['y'])).outputs
    const batchers = [busy, other].map(model => createBatcher({ model, signature: XY, clock }))
    const submit = (b: number, values: number[]) =>
      batchers[b]!.submit({ tenant: 't', inputs: [x(values)], outputs: ['y'] })
    const answers = [submit(0, [1, -2, 3, -4]), submit(0, [-5, 6, 7, 8]), submit(1, [1, 2, 3, 4])]
    await new Promise(setImmediate)
    await new Promise(setImmediate)
    process.kill(pidOf(engine), 'SIGKILL')
    const [first, second, third] = await Promise.all(answers)
    expect([...first!.outputs[0]!.data]).toEqual([1, 2, 3, 4])
    expect([...second!.outputs[0]!.data]).toEqual([5, 6, 7, 8])
    expect(third!.outputs).toEqual(expected)
    expect(engine.processes().length).toBe(1)
  })

  test('a graph under whose load the process ends may be tried again later, and not before somebody asks', async () => {
    const engine = open({ loadMsMax: 1 })
    await expect(load(engine, mlp(1, [4, 4]), XY)).rejects.toMatchObject({
      code: 'unavailable',
      retryable: true,
    })
    await new Promise(resolve => setTimeout(resolve, 300))
    expect(engine.processes()).toEqual([])
  })

  test('outputs that are larger than an answer may be fail alone', async () => {
    const engine = open()
    const signature = signatureOf(
      [spec('INPUT0', [-1, -1], 'UINT8')],
      [spec('OUTPUT0', [-1, -1], 'UINT8')],
    )
    const model = await load(engine, identity('UINT8'), signature)
    const run = (bytes: number) =>
      model.run(
        [{ name: 'INPUT0', datatype: 'UINT8', shape: [1, bytes], data: new Uint8Array(bytes) }],
        ['OUTPUT0'],
      )
    await expect(run(OUTPUT_BYTES_MAX + 8)).rejects.toMatchObject({
      code: 'inference_failed',
      public: expect.stringContaining(String(OUTPUT_BYTES_MAX)),
    })
    expect((await run(8)).outputs[0]!.shape).toEqual([1, 8])
  })

  test('a run past its limit ends, and a model that does it again gets a process of its own', async () => {
    const engine = open({ runMsMax: 100 })
    const [endless, other] = [
      await load(engine, slow(50_000_000), XY),
      await load(engine, mlp(1, [4, 4]), XY),
    ]
    for (let i = 0; i < 2; i++) {
      await expect(endless.run([x([1, 2, 3, 4])], ['y'])).rejects.toBeInstanceOf(EngineCrash)
      await other.run([x([1, 2, 3, 4])], ['y'])
    }
    const models = engine.processes().map(p => p.models.length)
    expect(models).toEqual([1, 1])
  })
})

describe('processes', () => {
  test('the event loop turns while a model runs', async () => {
    const model = await load(open(), slow(20_000), XY)
    let turns = 0
    let done = false
    const running = model.run([x([1, 2, 3, 4])], ['y']).then(() => {
      done = true
    })
    while (!done) {
      turns++
      await new Promise(setImmediate)
    }
    await running
    expect(turns).toBeGreaterThan(50)
  })

  test.runIf(process.platform === 'linux')(
    'an engine holds no variable of ours and no descriptor but its own',
    async () => {
      process.env.GALLEY_TEST_SECRET = 'do-not-inherit'
      const engine = open()
      await load(engine, mlp(1, [4, 4]), XY)
      const pid = pidOf(engine)
      const names = (await readFile(`/proc/${pid}/environ`, 'latin1'))
        .split('\0')
        .filter(Boolean)
        .map(v => v.split('=')[0])
      delete process.env.GALLEY_TEST_SECRET
      const allowed = [
        'MALLOC_ARENA_MAX',
        'MALLOC_MMAP_THRESHOLD_',
        'MALLOC_TRIM_THRESHOLD_',
        'NODE_COMPILE_CACHE',
        'ORT_DISABLE_TELEMETRY',
        'PWD',
        'OLDPWD',
        'SHLVL',
        '_',
      ]
      expect(names.filter(name => !allowed.includes(name!))).toEqual([])
      const targets = await Promise.all(
        (await readdir(`/proc/${pid}/fd`)).map(fd =>
          readlink(`/proc/${pid}/fd/${fd}`).catch(() => ''),
        ),
      )
      expect(targets.filter(t => t.startsWith('socket:')).length).toBe(2)
      expect(targets.filter(t => t.startsWith('/') && !t.startsWith('/dev/'))).toEqual([])
      expect(await readFile(`/proc/${pid}/oom_score_adj`, 'utf8')).toBe('1000\n')
    },
  )

  test('an engine ends with its runner, also in the midst of a run that never ends', async () => {
    const script = join(import.meta.dirname, 'engine-runner.ts')
    const graphPath = join(folder, 'endless.onnx')
    await writeFile(graphPath, slow(500_000_000))
    for (const busy of ['idle', 'busy']) {
      const runner = fork(script, [graphPath, busy], {
        stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
      })
      const [pid] = (await once(runner, 'message')) as [number]
      runner.kill('SIGKILL')
      expect(await gone(pid), busy).toBe(true)
    }
  })

  test('a process has worked for as long as its runs took, each at what it is worth, and on one that goes on', async () => {
    const engine = open()
    const model = await load(engine, slow(20_000), XY)
    const run = (worth: number) => model.run([x([1, 2, 3, 4])], ['y'], worth)
    const worked = () => engine.processes()[0]!.workedMs
    const [all, half] = await Promise.all([run(1), run(0.5)])
    const before = (all!.computeUs + half!.computeUs / 2) / 1_000
    expect(worked()).toBeCloseTo(before, 9)
    const going = run(1)
    await vi.waitFor(() => expect(worked()).toBeGreaterThan(before + 1))
    const { computeUs } = await going
    expect(worked()).toBeCloseTo(before + computeUs / 1_000, 9)
  })

  test('lanes and large graphs have processes of their own, and the last model takes its process along', async () => {
    const engine = open({ sharedGraphBytesMax: 10_000 })
    const shared = [await load(engine, mlp(1, [4, 4]), XY), await load(engine, mlp(2, [4, 4]), XY)]
    const bulk = await load(engine, mlp(3, [4, 4]), XY, 'bulk')
    const large = await load(engine, mlp(4, [4, 4000, 4]), XY)
    expect(engine.processes().map(p => [p.lane, p.models.length])).toEqual([
      ['online', 2],
      ['bulk', 1],
      ['online', 1],
    ])
    const pids = engine.processes().map(p => p.pid)
    await Promise.all([large.close(), bulk.close(), shared[0]!.close()])
    expect(await gone(pids[1]!)).toBe(true)
    expect(await gone(pids[2]!)).toBe(true)
    expect((await shared[1]!.run([x([1, 2, 3, 4])], ['y'])).outputs.length).toBe(1)
    await expect(shared[0]!.run([x([1, 2, 3, 4])], ['y'])).rejects.toMatchObject({
      code: 'unavailable',
      retryable: true,
    })
    await shared[1]!.close()
    expect(engine.processes()).toEqual([])
    expect(await gone(pids[0]!)).toBe(true)
  })

  test('two versions of one model never share a process, and weights beside the graph count', async () => {
    const engine = open()
    const graphPath = join(folder, 'version.onnx')
    await writeFile(graphPath, mlp(1, [4, 4]))
    const version = (digest: string, family: string, bytes?: number) =>
      engine.load({ digest, graphPath, signature: XY, family, bytes })
    await version('a', 'tenant/m')
    await version('b', 'tenant/other')
    await version('c', 'tenant/m')
    await version('d', 'tenant/heavy', 2 ** 30)
    expect(engine.processes().map(({ models }) => models)).toEqual([['a', 'b'], ['c'], ['d']])
  })
})
