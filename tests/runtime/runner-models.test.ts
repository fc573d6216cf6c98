/** Models in a runner's memory: each is closed in the end, and none under those who use it. */
import { createHash } from 'node:crypto'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, onTestFinished, test, vi } from 'vitest'
import * as blobKeys from '#core/blob-keys.ts'
import type { Servable } from '#core/deps.ts'
import { openOnnxRuntime } from '#gpu-runners/engines/onnxruntime.ts'
import { openBulkModels } from '#gpu-runners/models/bulk-models.ts'
import { openModelFiles } from '#gpu-runners/models/files.ts'
import { openMemory } from '#gpu-runners/models/memory.ts'
import { openResidents } from '#gpu-runners/models/residents.ts'
import { folderBlobs } from '#platform/blob/folder.ts'
import { newId } from '#schemas/ids.ts'
import { mlp, slow } from '#tests/models.ts'

vi.setConfig({ testTimeout: 60_000 })

const root = await mkdtemp(join(tmpdir(), 'galley-models-'))
afterAll(() => rm(root, { recursive: true }))
const blobs = folderBlobs({ root: join(root, 'blobs') })
const log = { info() {}, error() {} }
const tenantId = newId('tenant')
let runners = 0

function newRunner({
  budgetBytes = 2 ** 40,
  modelsMax = 64,
  overheadBytes = (): number => 0,
} = {}) {
  const folder = join(root, `models-${runners++}`)
  const engine = openOnnxRuntime({ log })
  onTestFinished(() => engine.close())
  const files = openModelFiles({ blobs }, { folder })
  // Time passes when a test says so: what was used a moment ago is in use otherwise.
  let now = 1e12
  const clock = { now: () => now }
  const memory = openMemory({ clock, log }, { budgetBytes, modelsMax, overheadBytes })
  const pass = (ms: number) => {
    now += ms
  }
  return {
    engine,
    files,
    log,
    clock,
    memory,
    hardware: 'cpu',
    pass,
    folders: () => readdir(folder),
  }
}

async function publish(bytes: Uint8Array, width = 4): Promise<Servable> {
  const sha256 = createHash('sha256').update(bytes).digest('hex')
  await blobs.put(blobKeys.file(tenantId, sha256), bytes)
  const spec = (name: string) => ({
    name,
    datatype: 'FP32' as const,
    shape: [-1, width],
    batch_axis: 0,
  })
  return {
    model: 'm',
    version: 1,
    digest: sha256,
    manifest: {
      graph: 'model.onnx',
      files: [{ path: 'model.onnx', sha256, size: bytes.length }],
    } as unknown as Servable['manifest'],
    signature: { inputs: [spec('x')], outputs: [spec('y')], batching: 'invariant' },
  }
}
const small = (seed: number) => publish(mlp(seed, [4, 4]))
const x = [
  { name: 'x', datatype: 'FP32' as const, shape: [1, 4], data: Float32Array.of(1, 2, 3, 4) },
]
async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await condition())) await new Promise(resolve => setTimeout(resolve, 5))
}

test('the shards of a job share one load, and when no more come nothing of it is left', async () => {
  const { engine, folders, ...deps } = newRunner()
  const load = vi.spyOn(engine, 'load')
  const models = openBulkModels({ ...deps, engine }, { idleMs: 50 })
  const model = await small(1)
  for (let shard = 0; shard < 20; shard++) {
    const done = await models.use(tenantId, model, one => one.run(x, ['y']))
    expect(done.outputs[0]!.shape).toEqual([1, 4])
  }
  expect(load).toHaveBeenCalledTimes(1)
  await until(() => engine.processes().length === 0)
  await until(async () => (await folders()).length === 0)
})

test('jobs that take turns do not pile up models', async () => {
  const { engine, ...deps } = newRunner()
  const models = openBulkModels({ ...deps, engine }, { idleMs: 60_000, idleMax: 2 })
  for (const seed of [1, 2, 3, 4, 5]) {
    await models.use(tenantId, await small(seed), one => one.run(x, ['y']))
  }
  await until(() => engine.processes().flatMap(({ models }) => models).length === 2)
})

test('a model that could not be loaded is tried again by the next step', async () => {
  const models = openBulkModels(newRunner())
  const model = await small(1)
  const missing = { ...model, manifest: { ...model.manifest, files: [] } }
  const run = (servable: Servable) =>
    models.use(tenantId, servable, async one => (await one.run(x, ['y'])).outputs.length)
  await expect(run(missing)).rejects.toThrow()
  expect(await run(model)).toBe(1)
})

test('past the bounds the model that was used least goes, files and all', async () => {
  const { folders, pass, ...deps } = newRunner({ modelsMax: 2 })
  const announced: number[] = []
  const residents = openResidents(deps, { onChange: digests => announced.push(digests.length) })
  const [a, b, c] = [await small(1), await small(2), await small(3)]
  for (const model of [a, b]) await residents.get(tenantId, model)
  pass(5)
  residents.warm(a.digest)
  await residents.get(tenantId, c)
  expect(residents.warm(b.digest)).toBeUndefined()
  expect(residents.warm(a.digest)).toBeDefined()
  expect(announced).toEqual([1, 2, 1, 2])
  await until(async () => (await folders()).length === 2)
})

test('a model that callers wait for is not taken from under them: the other is refused with sizes', async () => {
  const residents = openResidents(newRunner({ modelsMax: 1 }), { onChange() {} })
  const busy = await publish(slow(20_000))
  const { batcher } = await residents.get(tenantId, busy)
  // More than one batch holds: some wait whatever the engine does meanwhile.
  const inputs = [{ ...x[0]!, shape: [200, 4], data: new Float32Array(800) }]
  const answers = Array.from({ length: 4 }, () =>
    batcher.submit({ tenant: tenantId, inputs, outputs: ['y'] }),
  )
  await expect(residents.get(tenantId, await small(1))).rejects.toMatchObject({
    code: 'unavailable',
    retryable: true,
    public: expect.stringMatching(/needs about \d+ MB of memory beside 1 others.*hold \d+ MB/),
  })
  expect(residents.warm(busy.digest)).toBeDefined()
  expect(await Promise.all(answers)).toHaveLength(4)
})

test('a model that shows itself too large once it is loaded is closed again, and not loaded at every request', async () => {
  let loads = 0
  const runner = newRunner({
    budgetBytes: 2 ** 30,
    // What its process brings along is known when it is there.
    overheadBytes: () => (runner.engine.processes().length > 0 && loads < 2 ? 2 ** 30 : 0),
  })
  const { load } = runner.engine
  vi.spyOn(runner.engine, 'load').mockImplementation((...given) => {
    loads++
    runner.pass(100)
    return load(...given)
  })
  const residents = openResidents(runner, { onChange() {} })
  const model = await small(1)
  for (let i = 0; i < 20; i++) {
    await expect(residents.get(tenantId, model)).rejects.toMatchObject({ code: 'unavailable' })
    runner.pass(10)
  }
  expect(loads).toBe(1)
  expect(runner.engine.processes()).toEqual([])
  runner.pass(3_000)
  await residents.get(tenantId, model)
  expect(residents.warm(model.digest)).toBeDefined()
})

test('bulk work and online models share one budget, and bulk work waits for its turn', async () => {
  const runner = newRunner({ modelsMax: 1 })
  const residents = openResidents(runner, { onChange() {} })
  const bulk = openBulkModels(runner, { idleMs: 60_000, roomMsMax: 0 })
  const [a, b] = [await small(1), await small(2)]
  await bulk.use(tenantId, a, one => one.run(x, ['y']))
  await residents.get(tenantId, b)
  expect(runner.engine.processes().map(({ lane }) => lane)).toEqual(['online'])
  await bulk.use(tenantId, a, async one => {
    await one.run(x, ['y'])
    await expect(residents.get(tenantId, b)).rejects.toMatchObject({ code: 'unavailable' })
  })
})

test('after many loads and unloads nothing of a model is left, not a process, not a byte that is counted', async () => {
  const { engine, folders, memory, pass, ...deps } = newRunner({ modelsMax: 1 })
  const residents = openResidents({ ...deps, engine, memory }, { onChange() {} })
  // Larger than what shares a process: its process is its memory.
  const large = [await publish(mlp(1, [4, 300_000, 4])), await publish(mlp(2, [4, 300_000, 4]))]
  for (let cycle = 0; cycle < 6; cycle++) {
    const { model } = await residents.get(tenantId, large[cycle % 2]!)
    expect((await model.run(x, ['y'])).outputs[0]!.shape).toEqual([1, 4])
    if (process.platform === 'linux') expect(model.residentBytes()).toBeGreaterThan(8 * 2 ** 20)
    expect(engine.processes()).toHaveLength(1)
    pass(1)
  }
  await residents.get(tenantId, await small(1))
  expect(engine.processes()).toHaveLength(1)
  await until(async () => (await folders()).length === 1)
})
