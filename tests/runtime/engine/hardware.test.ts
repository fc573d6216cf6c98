/** Classes of hardware: a version that asks for one runs there or nowhere, and publishing says so. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeEach, expect, onTestFinished, test, vi } from 'vitest'
import * as bulk from '#core/inference/bulk.ts'
import * as jobs from '#core/jobs/jobs.ts'
import * as models from '#core/models/models.ts'
import { openOnnxRuntime } from '#gpu-runners/engines/onnxruntime.ts'
import { probe } from '#gpu-runners/engines/providers.ts'
import { readEnv } from '#gpu-runners/env.ts'
import { tryOnHardware } from '#gpu-runners/validate/on-hardware.ts'
import type { TenantId } from '#schemas/ids.ts'
import { files } from '#schemas/tables/models.ts'
import { callOf, handClock, inTenant, newTenant } from '#tests/caller.ts'
import { testDatabase } from '#tests/database.ts'
import { failsOnNegative, mlp, oneRowOnly } from '#tests/models.ts'
import {
  allIsHeard,
  callFor,
  dial,
  helloOf,
  newRouter,
  runnerKey,
  until,
} from '../routing/scene.ts'

// Engine processes start here; a busy machine may take its time.
vi.setConfig({ testTimeout: 60_000 })

const log = { info() {}, error() {} }
const folder = mkdtempSync(join(tmpdir(), 'galley-hardware-'))
afterAll(() => rmSync(folder, { recursive: true }))

const { db } = await testDatabase()
const SHA256 = 'a'.repeat(64)
let tenantId: TenantId
let clock = handClock()
beforeEach(async () => {
  clock = handClock()
  tenantId = (await newTenant(db)).tenantId
  await tenant(({ tx }) => tx.insert(files).values({ tenantId, sha256: SHA256, size: 10 }))
})
const tenant = <T>(work: Parameters<typeof inTenant<T>>[2]) =>
  inTenant({ db, clock }, tenantId, work)
const publish = (hardware?: string, suppliedClasses: string[] = []) =>
  tenant(unit =>
    models.publish({ ...unit, suppliedClasses }, callOf(tenantId), {
      model: 'm',
      files: [{ path: 'm.onnx', sha256: SHA256, size: 10 }],
      hardware,
    }),
  )
const announce = (name: string, hardware: string, lacks: string | null = null) =>
  db.system(tx =>
    models.hardware.announce(
      { tx, clock },
      {
        name,
        hardware,
        providers: [hardware],
        lacks,
        cores: 2,
        modelMemoryMb: 1_000,
        onlineShare: 0,
        warmModels: 0,
      },
    ),
  )

test('publishing what no runner can serve is refused with the runners that there are and what they lack', async () => {
  await announce('r-0', 'cpu')
  await announce('r-1', 'cuda', 'cuda cannot be used: no library')
  await expect(publish('tpu')).rejects.toMatchObject({
    code: 'invalid_body',
    public: expect.stringMatching(
      /hardware "tpu".*r-0 is cpu; r-1 is cuda, but cuda cannot be used/,
    ),
    errors: [{ pointer: '/hardware', detail: 'no runner is of class "tpu"' }],
  })
  await expect(publish('cuda')).rejects.toMatchObject({
    public: expect.stringMatching(/no runner of class "cuda" can serve: .*no library/),
  })
  expect(await publish('cpu')).toMatchObject({ state: 'validating' })
  await announce('r-1', 'cuda')
  expect(await publish('cuda')).toMatchObject({ state: 'validating' })
})

test('what a pool can supply is published although no runner of it is up, and a refusal names the pools too', async () => {
  expect(await publish('gpu', ['cpu', 'gpu'])).toMatchObject({ state: 'validating' })
  await expect(publish('tpu', ['cpu', 'gpu'])).rejects.toMatchObject({
    public: expect.stringMatching(/no runner is of class "tpu": .*class cpu, gpu are started when/),
  })
})

test('a runner that has been silent is no reason to publish, and one without a wish needs none', async () => {
  await announce('r-0', 'cuda')
  clock.forward(60_000)
  await expect(publish('cuda')).rejects.toMatchObject({ code: 'invalid_body' })
  expect(await publish()).toMatchObject({ state: 'validating' })
})

test('a step of bulk work on a version that asks for a class is leased by runners of it alone', async () => {
  await announce('r-1', 'cuda')
  await publish('cuda')
  const verdict = {
    ok: true as const,
    signature: { inputs: [], outputs: [], batching: 'invariant' as const },
    report: {},
  }
  const [version] = (await tenant(unit => models.versions(unit, { model: 'm', limit: 1 }))).data
  expect(version).toMatchObject({ manifest: { hardware: 'cuda' } })
  const { rows } = await db.system(tx =>
    tx.execute(`select id from model_versions where tenant_id = '${tenantId}'`),
  )
  await tenant(unit => models.validation.judge(unit, rows[0]!.id as never, verdict))
  const input = { sha256: SHA256, format: 'jsonl' as const }
  const job = await tenant(unit =>
    bulk.create(unit, callOf(tenantId), { model: 'm', input, expires_in_s: 60 }),
  )
  const steps = await db.system(tx => tx.execute(`select id from steps where run_id = '${job.id}'`))
  const lease = (runner: string, hardware?: string) =>
    tenant(unit =>
      jobs.leases.lease(unit, { stepId: steps.rows[0]!.id as never, runner, hardware }),
    )
  expect(await lease('r-0', 'cpu')).toEqual({ status: 'elsewhere' })
  expect(await lease('r-0')).toEqual({ status: 'elsewhere' })
  expect(await lease('r-1', 'cuda')).toMatchObject({ status: 'leased', epoch: 1 })
})

test('the router sends a request to runners of its class alone, warm or cold, busy or not', async () => {
  const router = newRouter()
  const cpu = await dial(router, 'cpu-0', ['d'])
  cpu.answerAll()
  const wanted = callFor('1')
  wanted.model.manifest.hardware = 'cuda'
  const answer = router.router.infer(wanted, null)
  await allIsHeard(router)
  expect(cpu.asked).toEqual([])
  expect(cpu.loads).toEqual([])
  const joined = router.joined()
  const cuda = await dial(router, 'cuda-0', [], {
    hello: await helloOf('cuda-0', runnerKey, { hardware: 'cuda' }),
  })
  cuda.answerAll()
  await until(() => router.joined() > joined)
  expect(Buffer.from((await answer).body).toString()).toBe('cuda-0 did 1')
  expect(cuda.loads).toEqual(['d'])
  expect(cpu.asked).toEqual([])
})

test('a request that asks for no class goes to no machine that is there for its class alone, free or not', async () => {
  const router = newRouter()
  const machine = { hardware: 'gpu', isDedicated: true }
  const gpu = await dial(router, 'gpu-0', ['d'], {
    hello: await helloOf('gpu-0', runnerKey, machine),
  })
  gpu.answerAll()
  await until(() => router.joined() > 0)
  const answer = router.router.infer(callFor('1'), null)
  const wanted = callFor('2')
  wanted.model.manifest.hardware = 'gpu'
  expect(Buffer.from((await router.router.infer(wanted, null)).body).toString()).toBe('gpu-0 did 2')
  const cpu = await dial(router, 'cpu-0')
  cpu.answerAll()
  expect(Buffer.from((await answer).body).toString()).toBe('cpu-0 did 1')
})

test('a class that was not signed by the runner itself is not believed', async () => {
  const router = newRouter()
  const hello = { ...(await helloOf('x', runnerKey, { hardware: 'cpu' })), hardware: 'cuda' }
  const runner = await dial(router, 'x', ['d'], { hello })
  await until(() => runner.isEnded())
})

test.skipIf(process.platform === 'darwin')(
  'a provider that this machine lacks is found out at the start, and never passed over in silence',
  async () => {
    expect(await probe({ log }, ['coreml'])).toEqual({
      usable: ['cpu'],
      lacks: expect.stringMatching(/coreml cannot be used: .*no provider coreml; it has cpu/),
    })
    expect(await probe({ log }, ['cpu'])).toEqual({ usable: ['cpu'], lacks: null })
  },
)

test('a machine is of the class that its first provider is, where nobody named it', () => {
  const env = {
    GALLEY_RUNNER: 'r',
    GALLEY_RUNNER_KEY: 'k'.repeat(32),
    GALLEY_FUNCTIONS_PORT: '1',
    GALLEY_ROUTER: './s',
  }
  expect(readEnv(env)).toMatchObject({ hardware: 'cpu', providers: ['cpu'] })
  const gpu = { ...env, GALLEY_PROVIDERS: 'tensorrt,cuda' }
  expect(readEnv(gpu)).toMatchObject({ hardware: 'tensorrt', providers: ['tensorrt', 'cuda'] })
  expect(readEnv({ ...gpu, GALLEY_HARDWARE: 'l4' })).toMatchObject({ hardware: 'l4' })
  expect(() => readEnv({ ...env, GALLEY_PROVIDERS: 'cuda,rocm' })).toThrow(/rocm|GALLEY_PROVIDERS/)
})

test('a version is tried in an engine process of its hardware: its curve, or the words of what fails there', async () => {
  const engine = openOnnxRuntime({ log })
  onTestFinished(() => engine.close())
  const spec = (name: string) => ({
    name,
    datatype: 'FP32' as const,
    shape: [-1, 4],
    batch_axis: 0,
  })
  const signature = { inputs: [spec('x')], outputs: [spec('y')], batching: 'invariant' as const }
  const tried = async (graph: Uint8Array) => {
    const graphPath = join(folder, 'model.onnx')
    writeFileSync(graphPath, graph)
    return tryOnHardware(engine, { digest: 'd', graphPath, signature }, { x: [1, 4] })
  }
  const { tuning, detail } = await tried(mlp(1, [4, 4]))
  expect(detail).toBeNull()
  expect(tuning!.curve.length).toBeGreaterThan(3)
  expect((await tried(oneRowOnly())).tuning!.curve.map(({ rows }) => rows)).toEqual([1])
  expect((await tried(failsOnNegative())).detail).toBeNull()
  expect((await tried(new TextEncoder().encode('no graph'))).detail).toMatch(
    /cannot load the graph/,
  )
  expect(engine.processes()).toEqual([])
})
