/** Triton's repository and statistics extensions on the running product, and what they are between tenants. */
import { beforeAll, expect, test } from 'vitest'
import * as models from '#tests/models.ts'
import {
  measures,
  named,
  newTenant,
  ok,
  publish,
  publishing,
  refused,
  type Tenant,
  total,
} from '../actions.ts'

let tenant: Tenant
let other: Tenant
beforeAll(async () => {
  tenant = await newTenant()
  other = await newTenant()
})

const post = <T>(path: string, body: unknown = {}, { key } = tenant) =>
  ok<T>('POST', `/v2/repository/${path}`, body, { key })
const stats = (path: string, { key } = tenant) =>
  ok<Stats>('GET', `/v2/models${path}/stats`, undefined, { key })
type Timed = { count: number; ns: number }
type Stats = {
  model_stats: {
    name: string
    version: string
    last_inference: number
    inference_count: number
    execution_count: number
    inference_stats: Record<'success' | 'fail' | 'queue' | 'compute_infer', Timed>
  }[]
  galley: { runners: number; since: string }
}
const inputs = (rows: number) =>
  ['INPUT0', 'INPUT1'].map(name => ({
    name,
    datatype: 'INT32',
    shape: [rows, 16],
    data: Array(rows * 16).fill(1),
  }))
const X = { name: 'x', datatype: 'FP32', shape: [1, 16], data: Array(16).fill(1) }
/** Bytes that no other test publishes. */
const mlpOf = (seed: number) => models.mlp(process.pid * 100 + seed, [16, 4])
/** Whether a runner has it in memory, though it takes too little to be measured. */
async function isResident(digest: string): Promise<boolean> {
  const series = new RegExp(`^galley_model_resident_bytes\\{.*digest="${digest.slice(0, 12)}"`, 'm')
  for (;;) {
    const text = await measures()
    // A runner that computes just now is left out.
    if (total(text, 'galley_up') > 0) return series.test(text)
  }
}
const infer = (model: string, rows = 1, { key } = tenant) =>
  ok('POST', `/v2/models/${model}/infer`, { inputs: inputs(rows) }, { key })

test('the index lists every version of one’s own, and why one cannot be asked for', async () => {
  const model = named('indexed')
  await publish(model, models.addSub(), tenant)
  await publishing(model, models.sequenceInput(), tenant)
  await publish(named('foreign'), models.addSub(), other)
  type Entry = { name: string; version: string; state: string; reason: string }
  const entries = await post<Entry[]>('index')
  expect(entries).toEqual([
    { name: model, version: '2', state: 'UNAVAILABLE', reason: expect.stringContaining('') },
    { name: model, version: '1', state: 'READY', reason: '' },
  ])
  expect(entries[0]!.reason).not.toBe('')
  expect((await post<Entry[]>('index', { ready: true })).map(({ version }) => version)).toEqual([
    '1',
  ])
})

test('a load takes memory, an unload gives it back, and the model answers after either', async () => {
  const model = named('loaded')
  const { digest } = await publish(model, mlpOf(7), tenant)
  for (const [verb, isThere] of [
    ['load', true],
    ['unload', false],
    ['unload', false],
    ['load', true],
  ] as const) {
    expect(await post(`models/${model}/${verb}`)).toEqual({ name: model })
    expect([verb, await isResident(digest)]).toEqual([verb, isThere])
  }
  const ask = () => ok('POST', `/v2/models/${model}/infer`, { inputs: [X] }, { key: tenant.key })
  await ask()
  await post(`models/${model}/unload`, { parameters: { unload_dependents: true } })
  expect(await isResident(digest)).toBe(false)
  await ask()
  expect(await isResident(digest)).toBe(true)
})

test('what a load cannot honour is refused, with what would do it', async () => {
  const model = named('refused')
  await publish(model, models.addSub(), tenant)
  const { key } = tenant
  const load = (parameters: unknown, status: number, code: string) =>
    refused('POST', `/v2/repository/models/${model}/load`, { parameters }, status, code, { key })
  expect((await load({ config: '{}' }, 501, 'unsupported')).error).toContain('Publish another')
  const file = await load({ 'file:1/model.onnx': 'AAAA' }, 501, 'unsupported')
  expect(file.error).toContain('/v1/uploads')
  await load({ whatever: 1 }, 400, 'invalid_request')
  await load('x', 400, 'invalid_request')
  for (const verb of ['load', 'unload']) {
    const path = `/v2/repository/models/nowhere/${verb}`
    await refused('POST', path, {}, 404, 'not_found', { key })
  }
})

test('counts are of one’s own requests, by version, though another tenant runs the same bytes', async () => {
  const model = named('counted')
  for (const each of [tenant, other]) await publish(model, models.addSub(), each)
  const before = await stats(`/${model}`)
  expect(before.model_stats).toMatchObject([{ name: model, version: '1', inference_count: 0 }])
  for (const rows of [1, 2, 3]) await infer(model, rows)
  await infer(model, 1, other)
  await refused(
    'POST',
    `/v2/models/${model}/infer`,
    { inputs: inputs(1).slice(1) },
    400,
    'invalid_input',
    { key: tenant.key },
  )
  const [found] = (await stats(`/${model}/versions/1`)).model_stats
  expect(found).toMatchObject({
    name: model,
    version: '1',
    inference_count: 6,
    execution_count: 3,
    inference_stats: { success: { count: 3 }, fail: { count: 1 }, compute_infer: { count: 3 } },
  })
  const { success, queue, compute_infer: run } = found!.inference_stats
  expect(queue.ns + run.ns).toBe(success.ns)
  expect(run.ns).toBeGreaterThan(0)
  expect(found!.last_inference).toBeGreaterThan(Date.parse('2026-01-01'))
  const all = await stats('')
  expect(all.model_stats.filter(({ name }) => name === model)).toEqual([found])
  expect(all.galley.runners).toBeGreaterThan(0)
  expect((await stats(`/${model}`, other)).model_stats).toMatchObject([{ inference_count: 1 }])
})

test('an unload ends one’s own claim alone: others answer as before', async () => {
  const model = named('shared')
  const { digest } = await publish(model, mlpOf(11), tenant)
  expect((await publish(model, mlpOf(11), other)).digest).toBe(digest)
  const ask = ({ key }: Tenant) =>
    ok('POST', `/v2/models/${model}/infer`, { inputs: [X], id: 'same' }, { key })
  const [a, b] = [await ask(tenant), await ask(other)]
  expect(a).toEqual(b)
  const flood = Promise.all(Array.from({ length: 50 }, () => ask(other)))
  await post(`models/${model}/unload`)
  for (const each of await flood) expect(each).toEqual(b)
  expect(await isResident(digest)).toBe(true)
  await post(`models/${model}/unload`, {}, other)
  expect(await isResident(digest)).toBe(false)
  expect(await ask(tenant)).toEqual(a)
})

test('the configuration says how many rows share a run, and leaves the rows out of the shapes', async () => {
  const [batched, stateful] = [named('batched'), named('stateful')]
  await publish(batched, models.addSub(), tenant)
  await publish(stateful, models.stateful(), tenant)
  const config = (model: string) =>
    ok<{ max_batch_size: number }>('GET', `/v2/models/${model}/config`, undefined, {
      key: tenant.key,
    })
  expect(await config(batched)).toMatchObject({
    name: batched,
    input: [{ name: 'INPUT0', data_type: 'TYPE_INT32', dims: [16] }, { name: 'INPUT1' }],
  })
  expect((await config(batched)).max_batch_size).toBeGreaterThan(1)
  expect(await config(stateful)).toMatchObject({
    max_batch_size: 0,
    input: [{ name: 'x', dims: [-1, 4] }, { name: 'state', dims: [2, -1, 4] }, { name: 'gain' }],
  })
})
