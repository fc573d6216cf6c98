/** Training sets in the running product: what was read then stands in the file, and once in the ledger. */
import { execFile } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { DuckDBInstance } from '@duckdb/node-api'
import { afterAll, beforeAll, expect, test } from 'vitest'
import {
  type Job,
  named,
  newTenant,
  ok,
  receiptsSettled,
  refused,
  settled,
  sha256Of,
  type Tenant,
  upload,
} from '../actions.ts'
import { product } from '../product.ts'

const ENTRY = fileURLToPath(new URL('../../../sdk/cli/galley.ts', import.meta.url))
const BATCH = { 'content-type': 'application/cloudevents-batch+json' }
const folder = mkdtempSync(join(tmpdir(), 'galley-sets-'))
afterAll(() => rmSync(folder, { recursive: true }))

type Read = {
  features: string[]
  results: { values: (number | null)[]; freshness: { at: string }[] }[]
}
type SetJob = Job & { as_of: string; log_position: number; result: { sha256: string } | null }

let tenant: Tenant
const put = (path: string, body: unknown) => ok('PUT', path, body, { key: tenant.key })
const create = (body: object) =>
  ok<SetJob>('POST', '/v1/jobs', { kind: 'training_set', ...body }, { key: tenant.key }, 202)
const end = async (job: SetJob) => (await settled(job.id, tenant.key)) as SetJob

beforeAll(async () => {
  tenant = await newTenant()
  await put('/v1/event-types/payment', {
    fields: { card_id: { type: 'string' }, amount: { type: 'decimal', scale: 2 } },
    entities: { card: 'card_id' },
  })
  await put('/v1/feature-views/velocity', {
    entity: 'card',
    event_type: 'payment',
    features: {
      n: { agg: 'count', window: '1h' },
      spent: { agg: 'sum', of: 'amount', window: '1h' },
    },
  })
  await put('/v1/feature-services/fraud', {
    features: ['velocity:*'],
    request: { amount: { type: 'decimal', scale: 2 } },
    transforms: { share: 'request.amount / coalesce(velocity.spent, 1)' },
  })
})

const payment = (card_id: string, amount: number) => ({
  specversion: '1.0',
  id: named('payment'),
  source: 'tests',
  type: 'payment',
  data: { card_id, amount },
})

async function bytesOf(job: Job): Promise<Buffer> {
  const { url } = await product()
  const headers = { authorization: `Bearer ${tenant.key}` }
  const response = await fetch(url + job.result!.url, { headers })
  expect(response.headers.get('content-type')).toBe('application/vnd.apache.parquet')
  return Buffer.from(await response.arrayBuffer())
}

async function rowsOf(bytes: Buffer): Promise<Record<string, unknown>[]> {
  const path = join(folder, 'set.parquet')
  writeFileSync(path, bytes)
  const connection = await (await DuckDBInstance.create(':memory:')).connect()
  const result = await connection.runAndReadAll(
    `select label::int as label, velocity__n::int as n, velocity__spent::double as spent, share from '${path}'`,
  )
  connection.closeSync()
  return result.getRowObjectsJS()
}

test('a set has what reads were given at their times, the same bytes again, and one receipt', async () => {
  const cards = ['c1', 'c2', 'c3']
  const spine: object[] = []
  const read: unknown[] = []
  for (let i = 0; i < 8; i++) {
    const card = cards[i % 3]!
    const events = [payment(card, 10.25 + i), ...(i % 2 ? [payment('c1', 1.5)] : [])]
    await ok('POST', '/v1/events?wait=true', events, { key: tenant.key, headers: BATCH })
    const body = { entities: [{ card }], request: [{ amount: 5.5 }] }
    const found = await ok<Read>('POST', '/v1/features/fraud/read', body, { key: tenant.key })
    const { values, freshness } = found.results[0]!
    spine.push({ card_id: card, timestamp: freshness[0]!.at, amount: '5.5', label: i })
    read.push({ label: i, n: values[0], spent: values[1], share: values[2] })
  }
  const lines = Buffer.from(spine.map(row => `${JSON.stringify(row)}\n`).join(''))
  const sha256 = await upload(lines, tenant.key)
  const body = { service: 'fraud', spine: { sha256, format: 'jsonl' } }
  const job = await end(await create(body))
  expect(job).toMatchObject({
    kind: 'training_set',
    state: 'done',
    error: null,
    service: 'fraud',
    version: 1,
    views: [{ name: 'velocity', version: 1 }],
    spine: { sha256, size: lines.length, format: 'jsonl' },
    mode: 'as_served',
    rows_total: 8,
    rows_done: 8,
    progress: 1,
    log: { payment: { version: 1, segments: 0, open_rows: 12 } },
  })
  const bytes = await bytesOf(job)
  expect(sha256Of(bytes)).toBe(job.result!.sha256)
  expect(await rowsOf(bytes)).toEqual(read)
  await ok('POST', '/v1/events?wait=true', [payment('c1', 99)], { key: tenant.key, headers: BATCH })
  const { as_of, log_position } = job
  const again = await end(await create({ ...body, as_of, log_position }))
  expect(again.result!.sha256).toBe(job.result!.sha256)
  const receipts = await receiptsSettled(tenant.key, 2)
  expect(receipts.map(({ kind, model, rows }) => ({ kind, model, rows }))).toEqual(
    Array(2).fill({ kind: 'training_set', model: 'fraud', rows: 8 }),
  )
})

test('the command line takes labels up and brings the set back', async () => {
  const { url } = await product()
  const row = { card: 'c1', timestamp: '2026-01-31T12:00:00Z', amount: 3, label: 7 }
  writeFileSync(join(folder, 'labels.jsonl'), JSON.stringify(row))
  const env = { GALLEY_URL: url, GALLEY_KEY: tenant.key, XDG_CONFIG_HOME: folder }
  const args = 'features training-set fraud@1 --spine labels.jsonl --out set.parquet --json'
  const command = [ENTRY, ...args.split(' ')]
  const { stdout } = await promisify(execFile)(process.execPath, command, { cwd: folder, env })
  const job = JSON.parse(stdout) as SetJob
  const bytes = readFileSync(join(folder, 'set.parquet'))
  expect(sha256Of(bytes)).toBe(job.result!.sha256)
  expect(await rowsOf(bytes)).toEqual([{ label: 7, n: 0, spent: null, share: 3 }])
})

test('a spine that does not fit fails the job with the column, the row and what was expected', async () => {
  const row = { card_id: 'c1', timestamp: 'soon', amount: '1' }
  const sha256 = await upload(Buffer.from(JSON.stringify(row)), tenant.key)
  const job = await end(await create({ service: 'fraud', spine: { sha256, format: 'jsonl' } }))
  expect([job.state, job.error]).toEqual([
    'failed',
    {
      code: 'invalid_body',
      detail:
        'Row 0 (from 0), column "timestamp": "soon" is not a time such as 2026-01-31T12:00:00Z.',
    },
  ])
  const asParquet = await end(
    await create({ service: 'fraud', spine: { sha256, format: 'parquet' } }),
  )
  expect([asParquet.state, asParquet.error!.code]).toEqual(['failed', 'invalid_body'])
})

test('a body that is wrong is told what and where', async () => {
  const options = { key: tenant.key }
  const refuse = (body: object) =>
    refused('POST', '/v1/jobs', { kind: 'training_set', ...body }, 422, 'invalid_body', options)
  expect((await refuse({ service: 'fraud' })).errors![0]!.pointer).toBe('/spine')
  const spine = { sha256: 'a'.repeat(64), format: 'jsonl' }
  expect((await refuse({ service: 'none', spine })).detail).toBe(
    'There is no feature service "none".',
  )
})
