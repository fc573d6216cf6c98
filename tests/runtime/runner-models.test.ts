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
import { openResidents } from '#gpu-runners/models/residents.ts'
import { folderBlobs } from '#platform/blob/folder.ts'
import { newId } from '#schemas/ids.ts'
import { mlp, slow } from '#tests/models.ts'

vi.setConfig({ testTimeout: 60_000 })

const root = await mkdtemp(join(tmpdir(), 'galley-models-'))
afterAll(() => rm(root, { recursive: true }))
const blobs = folderBlobs({ root: join(root, 'blobs') })
const log = { info() {}, error() {} }
const clock = { now: () => Date.now() }
const tenantId = newId('tenant')
let runners = 0

function newRunner() {
  const folder = join(root, `models-${runners++}`)
  const engine = openOnnxRuntime({ log })
  onTestFinished(() => engine.close())
  const files = openModelFiles({ blobs }, { folder })
  return { engine, files, log, clock, folders: () => readdir(folder) }
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
  const { folders, ...deps } = newRunner()
  const announced: number[] = []
  const residents = openResidents(deps, {
    bytesMax: 2 ** 30,
    residentsMax: 2,
    onChange: digests => announced.push(digests.length),
  })
  const [a, b, c] = [await small(1), await small(2), await small(3)]
  for (const model of [a, b]) await residents.get(tenantId, model)
  await new Promise(resolve => setTimeout(resolve, 5))
  residents.warm(a.digest)
  await residents.get(tenantId, c)
  expect(residents.warm(b.digest)).toBeUndefined()
  expect(residents.warm(a.digest)).toBeDefined()
  expect(announced).toEqual([1, 2, 2])
  await until(async () => (await folders()).length === 2)
})

test('models give way by their bytes too, but one that is larger than all is still served', async () => {
  const residents = openResidents(newRunner(), { bytesMax: 1, onChange() {} })
  const [a, b] = [await small(1), await small(2)]
  await residents.get(tenantId, a)
  expect(residents.warm(a.digest)).toBeDefined()
  await residents.get(tenantId, b)
  expect(residents.warm(a.digest)).toBeUndefined()
  expect(residents.warm(b.digest)).toBeDefined()
})

test('a model that callers wait for is not taken from under them', async () => {
  const residents = openResidents(newRunner(), { bytesMax: 1, onChange() {} })
  const busy = await publish(slow(20_000))
  const { batcher } = await residents.get(tenantId, busy)
  // More than one batch holds: some wait whatever the engine does meanwhile.
  const inputs = [{ ...x[0]!, shape: [200, 4], data: new Float32Array(800) }]
  const answers = Array.from({ length: 4 }, () =>
    batcher.submit({ tenant: tenantId, inputs, outputs: ['y'] }),
  )
  await residents.get(tenantId, await small(1))
  expect(residents.warm(busy.digest)).toBeDefined()
  expect(await Promise.all(answers)).toHaveLength(4)
})
