/** Bulk jobs in the running product: every row answered in its place, and billed once. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DuckDBInstance } from '@duckdb/node-api'
import { afterAll, beforeAll, expect, test } from 'vitest'
import * as models from '#tests/models.ts'
import {
  named,
  newTenant,
  ok,
  publish,
  type Receipt,
  receiptsSettled,
  refused,
  settled,
  startJob,
  type Tenant,
  upload,
} from './actions.ts'
import { api, product } from './product.ts'

let tenant: Tenant
let key = ''
let model = ''
const folder = mkdtempSync(join(tmpdir(), 'galley-jobs-'))
afterAll(() => rmSync(folder, { recursive: true }))
beforeAll(async () => {
  tenant = await newTenant()
  key = tenant.key
  model = named('bulk')
  await publish(model, models.addSub(), { key })
})

const ints = (i: number) => Array.from({ length: 16 }, (_, j) => i + j)
const row = (i: number) => JSON.stringify({ id: `row ${i}`, INPUT0: ints(i), INPUT1: ints(1) })
type Result = {
  index: number
  id?: string
  outputs?: { OUTPUT0: number[]; OUTPUT1: number[] }
  error?: { code: string; detail: string }
}

async function bytesOf(path: string, headers: Record<string, string> = {}) {
  const { url } = await product()
  const response = await fetch(url + path, {
    headers: { authorization: `Bearer ${key}`, ...headers },
  })
  return {
    status: response.status,
    headers: response.headers,
    bytes: Buffer.from(await response.arrayBuffer()),
  }
}
const linesOf = (bytes: Buffer) =>
  bytes
    .toString()
    .trimEnd()
    .split('\n')
    .map(line => JSON.parse(line) as Result)

test('a job over JSONL answers every row in its place; bad rows say by their index what is wrong', async () => {
  const bad = new Map([
    [3, '{"INPUT0":[1,2],"INPUT1":[1]}'],
    [500, 'no json at all'],
    [777, JSON.stringify({ INPUT0: ints(1) })],
  ])
  const lines = Array.from({ length: 2_000 }, (_, i) => bad.get(i) ?? row(i))
  const job = await settled(
    (await startJob(model, Buffer.from(`${lines.join('\n')}\n`), { key })).id,
    key,
  )
  expect(job).toMatchObject({
    state: 'done',
    rows_total: 2_000,
    rows_done: 2_000,
    rows_failed: 3,
    progress: 1,
    error: null,
  })
  const { status, headers, bytes } = await bytesOf(job.result!.url)
  expect([status, headers.get('content-type')]).toEqual([200, 'application/x-ndjson'])
  expect(bytes.length).toBe(job.result!.size)
  const results = linesOf(bytes)
  expect(results.map(result => result.index)).toEqual(lines.map((_, i) => i))
  for (const [i, result] of results.entries()) {
    if (bad.has(i))
      expect([i, typeof result.error?.detail, result.outputs]).toEqual([i, 'string', undefined])
    else {
      expect(result.id).toBe(`row ${i}`)
      expect(result.outputs!.OUTPUT0).toEqual(ints(i).map((value, j) => value + 1 + j))
    }
  }
  expect(results[777]!.error!.detail).toContain('INPUT1')
  const receipts = (await receiptsSettled(key, 1)).filter(one => one.work.startsWith(job.id))
  expect(receipts.reduce((sum, one) => sum + one.rows, 0)).toBe(1_997)
  expect(new Set(receipts.map(one => one.kind))).toEqual(new Set(['bulk']))
})

test('results come in ranges of bytes, as download managers and resumed transfers ask for them', async () => {
  const lines = Array.from({ length: 50 }, (_, i) => row(i)).join('\n')
  const job = await settled((await startJob(model, Buffer.from(lines), { key })).id, key)
  const { url, size } = job.result!
  const whole = (await bytesOf(url)).bytes
  for (const [range, from, to] of [
    ['bytes=0-9', 0, 10],
    ['bytes=10-', 10, size],
    ['bytes=-7', size - 7, size],
    [`bytes=5-${size + 100}`, 5, size],
  ] as const) {
    const part = await bytesOf(url, { range })
    expect([range, part.status, part.headers.get('content-range')]).toEqual([
      range,
      206,
      `bytes ${from}-${to - 1}/${size}`,
    ])
    expect(part.bytes.equals(whole.subarray(from, to))).toBe(true)
  }
  const beyond = await bytesOf(url, { range: `bytes=${size}-` })
  expect([beyond.status, JSON.parse(beyond.bytes.toString()).code]).toEqual([
    416,
    'range_not_satisfiable',
  ])
  expect((await bytesOf(url, { range: 'lines=1-2' })).status).toBe(200)
})

test('a job over Parquet answers in Parquet, row for row', async () => {
  const db = await (await DuckDBInstance.create()).connect()
  const [input, output] = [join(folder, 'in.parquet'), join(folder, 'out.parquet')]
  await db.run(`copy (select [(i + j)::int for j in range(16)] as "INPUT0", [(1)::int for j in range(16)] as "INPUT1"
    from range(1500) t(i)) to '${input}' (format parquet)`)
  const job = await settled(
    (await startJob(model, readFileSync(input), { key, format: 'parquet' })).id,
    key,
  )
  expect(job).toMatchObject({ state: 'done', rows_total: 1_500, rows_failed: 0 })
  const { headers, bytes } = await bytesOf(job.result!.url)
  expect(headers.get('content-type')).toBe('application/vnd.apache.parquet')
  await (await import('node:fs/promises')).writeFile(output, bytes)
  const columns = (await db.runAndReadAll(`describe select * from '${output}'`))
    .getRows()
    .map(one => one[0])
  expect(columns).toEqual(expect.arrayContaining(['OUTPUT0', 'OUTPUT1']))
  const read = await db.runAndReadAll(
    `select count(*)::int, sum(OUTPUT0[1])::int, max(OUTPUT1[16])::int from '${output}'`,
  )
  expect(read.getRows()).toEqual([[1_500, (1_499 * 1_500) / 2 + 1_500, 1_499 + 15 - 1]])
  db.closeSync()
})

test('a canceled job stops, keeps what was billed, and has no results', async () => {
  const slow = named('slow')
  await publish(slow, models.slow(100_000), { key })
  const rows = Array.from({ length: 400 }, () => '{"x":[1,2,3,4]}').join('\n')
  const { id } = await startJob(slow, Buffer.from(rows), { key })
  await refused('GET', `/v1/jobs/${id}/results`, undefined, 409, 'conflict', { key })
  for (let turn = 0; turn < 2; turn++) {
    expect(await ok('POST', `/v1/jobs/${id}/cancel`, undefined, { key })).toMatchObject({
      state: 'canceled',
    })
  }
  expect(await settled(id, key)).toMatchObject({ state: 'canceled', result: null })
  await refused('GET', `/v1/jobs/${id}/results`, undefined, 409, 'conflict', { key })
})

test('a job that cannot begin is refused with what is missing', async () => {
  const input = { sha256: await upload(Buffer.from('{}\n'), key), format: 'jsonl' }
  const post = (body: object, status: number, code: string) =>
    refused('POST', '/v1/jobs', body, status, code, { key })
  await post({ model: named('nowhere'), input }, 404, 'not_found')
  await post({ model, version: 99, input }, 404, 'not_found')
  const missing = await post(
    { model, input: { ...input, sha256: '7'.repeat(64) } },
    422,
    'invalid_body',
  )
  expect(missing.errors).toMatchObject([{ pointer: '/input/sha256' }])
  await post({ model, input, expires_in_s: 1 }, 422, 'invalid_body')
})

test('a file that is not what its format says fails the job and says so', async () => {
  const job = await settled(
    (await startJob(model, Buffer.from('this is no parquet file'), { key, format: 'parquet' })).id,
    key,
  )
  expect(job.state).toBe('failed')
  expect(job.error!.detail).toMatch(/parquet/i)
})

test('an empty file is a job of no rows', async () => {
  const job = await settled((await startJob(model, Buffer.from('\n\n'), { key })).id, key)
  expect(job).toMatchObject({ state: 'done', rows_total: 0, rows_done: 0, rows_failed: 0 })
  expect((await bytesOf(job.result!.url)).bytes.length).toBe(0)
})

test('a job keeps the version that its alias named when it was created', async () => {
  const name = named('pinned')
  await publish(name, models.addSub(), { key })
  await ok('PUT', `/v1/registry/models/${name}/aliases/champion`, { version: 1 }, { key })
  const job = await startJob(name, Buffer.from(`${row(1)}\n`), { key, version: 'champion' })
  expect(job).toMatchObject({ model: name, version: 1 })
})

test('creating a job twice under one Idempotency-Key starts one', async () => {
  const input = { sha256: await upload(Buffer.from(`${row(5)}\n`), key), format: 'jsonl' }
  const headers = { 'idempotency-key': named('job') }
  const post = () => api<{ id: string }>('POST', '/v1/jobs', { model, input }, { key, headers })
  const [first, second] = [await post(), await post()]
  expect(second.body.id).toBe(first.body.id)
})

test('usage by every group equals the work that was done, to the row', async () => {
  const own = await newTenant()
  const [a, b] = [named('usage-a'), named('usage-b')]
  for (const name of [a, b]) await publish(name, models.addSub(), { key: own.key })
  const make = (project: string) =>
    ok<{ key: string; id: string }>(
      'POST',
      '/v1/keys',
      {
        name: project,
        scopes: ['infer', 'jobs:read', 'jobs:write', 'files:write', 'usage:read'],
        project,
      },
      { key: own.key },
      201,
    )
  const [red, blue] = [await make('red'), await make('blue')]
  const infer = (name: string, of: { key: string }, rows: number) =>
    ok(
      'POST',
      `/v2/models/${name}/infer`,
      {
        inputs: ['INPUT0', 'INPUT1'].map(input => ({
          name: input,
          shape: [rows, 16],
          datatype: 'INT32',
          data: Array(rows * 16).fill(1),
        })),
      },
      { key: of.key },
    )
  await Promise.all([
    ...Array.from({ length: 20 }, () => infer(a, red, 1)),
    ...Array.from({ length: 10 }, () => infer(b, blue, 3)),
    ...Array.from({ length: 5 }, () => infer(a, blue, 2)),
  ])
  const lines = Array.from({ length: 100 }, (_, i) => row(i)).join('\n')
  const job = await settled((await startJob(b, Buffer.from(lines), { key: red.key })).id, red.key)
  const receipts = await receiptsSettled(own.key, 36)
  expect(receipts.map(one => one.seq)).toEqual(receipts.map((_, i) => i + 1))

  type Totals = { total: Sums; data: (Sums & { group: Record<string, string | null> })[] }
  type Sums = {
    receipts: number
    requests: number
    rows: number
    compute_us: number
    bytes_in: number
    bytes_out: number
    tokens: number
  }
  const totals = (query: string) =>
    ok<Totals>('GET', `/v1/usage?${query}`, undefined, { key: own.key })
  const rowsBy = async (group: string) =>
    Object.fromEntries(
      (await totals(`group_by=${group}`)).data.map(one => [one.group[group] ?? 'none', one.rows]),
    )
  expect(await rowsBy('model')).toEqual({ [a]: 30, [b]: 130 })
  expect(await rowsBy('project')).toEqual({ red: 120, blue: 40 })
  expect(await rowsBy('key')).toEqual({ [red.id]: 120, [blue.id]: 40 })
  expect(await rowsBy('job')).toEqual({ [job.id]: 100, none: 60 })
  const sum = (field: keyof Sums & keyof Receipt) =>
    receipts.reduce((all, one) => all + (one[field] as number), 0)
  for (const group of [
    'kind',
    'model',
    'key',
    'project',
    'job',
    'day',
    'hour',
    'model,project,day',
  ]) {
    const { total, data } = await totals(`group_by=${group}`)
    for (const field of ['requests', 'rows', 'compute_us', 'bytes_in', 'bytes_out'] as const) {
      expect([group, field, total[field]]).toEqual([group, field, sum(field)])
      expect(data.reduce((all, one) => all + one[field], 0)).toBe(sum(field))
    }
  }
  const [first, last] = [receipts[0]!.at, receipts.at(-1)!.at]
  const until = encodeURIComponent(first)
  expect((await totals(`to=${until}`)).total.receipts).toBe(
    receipts.filter(one => one.at < first).length,
  )
  expect((await totals(`from=${encodeURIComponent(last)}`)).total.receipts).toBe(
    receipts.filter(one => one.at >= last).length,
  )
})
