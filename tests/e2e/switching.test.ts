/** Versions in the running product: warm before they serve, tried beside each other, taken back by themselves. */
import { execFile } from 'node:child_process'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { beforeAll, expect, test } from 'vitest'
import { tensor } from '#core/models/onnx/build.ts'
import * as models from '#tests/models.ts'
import { named, newTenant, ok, publish, refused } from './actions.ts'
import { product } from './product.ts'

const ENTRY = fileURLToPath(new URL('../../sdk/cli/galley.ts', import.meta.url))
let key = ''
beforeAll(async () => {
  key = (await newTenant()).key
})

/** Adds a constant: the version that answered shows in its answer. */
function addConstant(value: number): Uint8Array {
  return models.unary(['batch', 4], ['batch', 4], graph => {
    graph.initializer('c', tensor('FP32', [1], [value]))
    graph.node('Add', ['x', 'c'], {}, { outputs: ['y'] })
  })
}
const inputOf = (data: number[]) => ({
  inputs: [{ name: 'x', shape: [1, 4], datatype: 'FP32', data }],
})
type Reply = { model_version: string; outputs: { data: number[] }[] }
type Rollout = {
  state: string
  reason: string | null
  report: {
    stable: { requests: number; errors: number }
    candidate: { requests: number; errors: number }
    compared: { rows: number; rows_differing: number; tensors: Record<string, unknown> }
  }
}
type Switches = { data: Record<string, unknown>[] }

async function ask(model: string, headers: Record<string, string> = {}, data = [0, 0, 0, 0]) {
  const { url } = await product()
  const response = await fetch(`${url}/v2/models/${model}/infer`, {
    method: 'POST',
    headers: { authorization: `Bearer ${key}`, ...headers },
    body: JSON.stringify(inputOf(data)),
  })
  const reply = (await response.json()) as Reply
  expect([response.status, reply]).toEqual([200, expect.anything()])
  expect(response.headers.get('galley-model-version')).toBe(reply.model_version)
  return { version: Number(reply.model_version), y: reply.outputs[0]!.data, response }
}
const path = (model: string, more: string) => `/v1/registry/models/${model}${more}`
const flip = (model: string, version: number) =>
  ok('PUT', path(model, '/aliases/champion'), { version }, { key })
const rolloutOf = (model: string) => ok<Rollout>('GET', path(model, '/rollout'), undefined, { key })
async function two(name: string, second = addConstant(2)): Promise<string> {
  const model = named(name)
  await publish(model, addConstant(1), { key })
  await publish(model, second, { key })
  await flip(model, 1)
  return model
}
async function until<T>(get: () => Promise<T>, holds: (found: T) => boolean): Promise<T> {
  for (;;) {
    const found = await get()
    if (holds(found)) return found
    await sleep(50)
  }
}

test('a way back lets the version before serve, and the log tells all of it with what became of the requests', async () => {
  const model = await two('back')
  await flip(model, 2)
  for (let i = 0; i < 5; i++) expect((await ask(model)).version).toBe(2)
  await ok('POST', path(model, '/rollback'), {}, { key })
  expect((await ask(model)).version).toBe(1)
  const { data } = await until(
    () => ok<Switches>('GET', path(model, '/switches'), undefined, { key }),
    ({ data }) => data[1]!.dropped !== null,
  )
  expect(data.map(({ kind, from, to }) => [kind, from, to])).toEqual([
    ['rollback', 2, 1],
    ['flip', 1, 2],
    ['flip', 2, 1],
  ])
  expect(data[1]).toMatchObject({ outcome: 'done', answered_to: 5, dropped: 0, mixed: 0 })
})

test('a canary answers its share, the same callers each time, and serves all once it is promoted', async () => {
  const model = await two('canary')
  await ok('PUT', path(model, '/rollout'), { version: 2, percent: 50 }, { key })
  const first = new Map<string, number>()
  for (let turn = 0; turn < 2; turn++) {
    for (let i = 0; i < 40; i++) {
      const user = `user-${i}`
      const { version, y, response } = await ask(model, { 'galley-sticky-key': user })
      expect(y).toEqual(Array(4).fill(version))
      expect(response.headers.get('galley-model-digest')).toMatch(/^[0-9a-f]{64}$/)
      expect(first.get(user) ?? version).toBe(version)
      first.set(user, version)
    }
  }
  expect(new Set(first.values())).toEqual(new Set([1, 2]))
  await ok('POST', path(model, '/promote'), undefined, { key })
  for (let i = 0; i < 10; i++) expect((await ask(model)).version).toBe(2)
  expect(await rolloutOf(model)).toMatchObject({ state: 'promoted' })
})

test('a canary that fails costs its callers nothing, and is taken back by itself', async () => {
  const model = await two('failing', models.failsOnNegative())
  await ok('PUT', path(model, '/rollout'), { version: 2, percent: 100 }, { key })
  const seen = await until(
    async () => {
      expect((await ask(model, {}, [-1, 0, 0, 0])).version).toBe(1)
      return rolloutOf(model)
    },
    ({ state }) => state !== 'running',
  )
  expect(seen).toMatchObject({ state: 'rolled_back', reason: expect.stringContaining('failed') })
  expect(seen.report.candidate.errors).toBeGreaterThanOrEqual(10)
  const { data } = await ok<Switches>('GET', path(model, '/switches'), undefined, { key })
  expect(data[0]).toMatchObject({ kind: 'rollback', actor: 'galley', from: 2, to: 1 })
})

test('a shadow answers nobody; what it would have said is compared, and billed by a receipt of its own kind', async () => {
  const model = await two('shadow', addConstant(1.5))
  const body = {
    version: 2,
    mode: 'shadow',
    percent: 100,
    guard: { requests_min: 20, rows_differing_max: 0.5, latency_ratio_max: null },
  }
  await ok('PUT', path(model, '/rollout'), body, { key })
  const seen = await until(
    async () => {
      expect((await ask(model)).version).toBe(1)
      return rolloutOf(model)
    },
    ({ state }) => state !== 'running',
  )
  expect(seen.reason).toContain('rows differ')
  const { compared } = seen.report
  expect(compared.rows_differing).toBe(compared.rows)
  expect(compared.tensors).toMatchObject({ y: { max_abs_diff: 0.5 } })
  type Receipts = { data: { kind: string; model: string; version: number }[] }
  const of = (kind: string, { data }: Receipts) =>
    data.filter(receipt => receipt.model === model && receipt.kind === kind)
  const receipts = await until(
    () => ok<Receipts>('GET', '/v1/receipts?limit=1000', undefined, { key }),
    found => of('shadow', found).length >= 20 && of('online', found).length >= 20,
  )
  expect(new Set(of('shadow', receipts).map(({ version }) => version))).toEqual(new Set([2]))
  expect(new Set(of('online', receipts).map(({ version }) => version))).toEqual(new Set([1]))
})

test('what cannot be rolled out is refused with what would be right', async () => {
  const model = await two('refused')
  const put = (body: object, status: number, code: string) =>
    refused('PUT', path(model, '/rollout'), body, status, code, { key })
  await put({ version: 1 }, 409, 'conflict')
  await put({ version: 9 }, 404, 'not_found')
  await put({ version: 2, percent: 101 }, 422, 'invalid_body')
  await put({ version: 2, alias: 'nobody' }, 409, 'conflict')
  await refused('POST', path(model, '/promote'), undefined, 409, 'conflict', { key })
  await refused('GET', path(model, '/rollout'), undefined, 404, 'not_found', { key })
})

test('the command line tries a version, shows how it goes, lets it serve and takes it back', async () => {
  const model = await two('typed')
  const galley = (...args: string[]) => typed(['models', ...args])
  expect(await galley('rollout', `${model}@2`, '--percent', '100')).toContain('answers 100 %')
  for (let i = 0; i < 3; i++) await ask(model)
  await until(
    () => rolloutOf(model),
    ({ report }) => report.candidate.requests >= 3,
  )
  const shown = await galley('rollout', model)
  for (const part of ['canary', 'VERSION 1', 'VERSION 2', 'p95 latency', 'mean of y']) {
    expect(shown).toContain(part)
  }
  expect(await galley('promote', model)).toContain('is version 2 now; it was 1')
  expect(await galley('rollback', model)).toContain('is version 1; 2 is taken back')
  const log = await galley('switches', model)
  for (const kind of ['canary', 'promote', 'rollback']) expect(log).toContain(kind)
})

async function typed(args: string[]): Promise<string> {
  const { url } = await product()
  const env = { GALLEY_URL: url, GALLEY_KEY: key }
  const { stdout } = await promisify(execFile)(process.execPath, [ENTRY, ...args], { env })
  return stdout
}
