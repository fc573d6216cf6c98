/** An imported table: put from the command line, read online, trained on, and proven. */
import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { DuckDBInstance } from '@duckdb/node-api'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Job, newTenant, ok, settled, type Tenant, upload } from '../actions.ts'
import { product } from '../product.ts'

const ENTRY = fileURLToPath(new URL('../../../sdk/cli/galley.ts', import.meta.url))
const folder = mkdtempSync(join(tmpdir(), 'galley-tables-e2e-'))
afterAll(() => rmSync(folder, { recursive: true }))
let tenant: Tenant
beforeAll(async () => {
  tenant = await newTenant()
})

const inDuckDb = async (sql: string) => {
  const connection = await (await DuckDBInstance.create(':memory:')).connect()
  const rows = (await connection.runAndReadAll(sql)).getRowObjectsJS()
  connection.closeSync()
  return rows
}

test('a table of Parquet is served, trained on and proven like any other events', async () => {
  const { url } = await product()
  const file = join(folder, 'merchants.parquet')
  await inDuckDb(`copy (select * from (values
      ('m1', 12.5::double, 'food', timestamptz '2026-01-01 00:00:00+00'),
      ('m1', 14.5, 'food', timestamptz '2026-03-01 00:00:00+00'),
      ('m2', null, 'fuel', timestamptz '2026-02-01 00:00:00+00'))
    as t(merchant, risk, sector, updated_at)) to '${file}' (format parquet)`)
  const definition = {
    fields: {
      merchant: { type: 'string' },
      risk: { type: 'float', optional: true },
      sector: { type: 'string' },
    },
    entities: { merchant: 'merchant' },
    time: 'updated_at',
  }
  writeFileSync(join(folder, 'merchants.json'), JSON.stringify(definition))
  const env = { GALLEY_URL: url, GALLEY_KEY: tenant.key, XDG_CONFIG_HOME: folder }
  const galley = async (text: string) => {
    const args = [ENTRY, ...text.split(' '), '--json']
    const { stdout } = await promisify(execFile)(process.execPath, args, { cwd: folder, env })
    return JSON.parse(stdout)
  }
  const put = await galley('tables put merchants merchants.parquet --definition merchants.json')
  expect(put).toMatchObject({ version: 1, state: 'done', rows: 3 })
  expect((await galley('tables list')).data).toMatchObject([{ name: 'merchants', version: 1 }])

  const options = { key: tenant.key }
  await ok(
    'PUT',
    '/v1/feature-views/merchants',
    {
      entity: 'merchant',
      event_type: 'table.merchants',
      features: { risk: { agg: 'last', of: 'risk' }, sector: { agg: 'last', of: 'sector' } },
    },
    options,
  )
  await ok('PUT', '/v1/feature-services/merchants', { features: ['merchants:*'] }, options)
  type Read = { results: { values: unknown[]; statuses: string[]; freshness: { at: string }[] }[] }
  const body = { entities: [{ merchant: 'm1' }, { merchant: 'm2' }] }
  const read = await ok<Read>('POST', '/v1/features/merchants/read', body, options)
  expect(read.results.map(({ values }) => values)).toEqual([
    [14.5, 'food'],
    [null, 'fuel'],
  ])

  const { at } = read.results[0]!.freshness[0]!
  const spine = [
    { merchant: 'm1', timestamp: at },
    { merchant: 'm1', timestamp: '2026-02-01T00:00:00Z' },
  ]
  const lines = Buffer.from(spine.map(row => `${JSON.stringify(row)}\n`).join(''))
  const sha256 = await upload(lines, tenant.key)
  const setOf = async (mode: string) => {
    const spec = { service: 'merchants', spine: { sha256, format: 'jsonl' }, mode }
    const set = await ok<Job>('POST', '/v1/jobs', { kind: 'training_set', ...spec }, options, 202)
    const job = await settled(set.id, tenant.key)
    expect(job.error).toBeNull()
    const response = await fetch(url + job.result!.url, {
      headers: { authorization: `Bearer ${tenant.key}` },
    })
    writeFileSync(join(folder, 'set.parquet'), Buffer.from(await response.arrayBuffer()))
    const rows = await inDuckDb(
      `select merchants__risk as risk from '${join(folder, 'set.parquet')}'`,
    )
    return rows.map(({ risk }) => risk)
  }
  expect(await setOf('as_served')).toEqual([14.5, null])
  expect(await setOf('as_corrected')).toEqual([14.5, 12.5])
  const proof = await galley('features prove merchants')
  expect(proof.proof).toMatchObject({ entities: 2, mismatches: 0 })
})
