/** The log in the running product: exported as Parquet, replayed, kept for as long as is said, and freed of a subject. */
import { execFile } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { DuckDBInstance } from '@duckdb/node-api'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { newTenant, ok, refused, sha256Of, type Tenant } from '../actions.ts'
import { api, product } from '../product.ts'

const ENTRY = fileURLToPath(new URL('../../../sdk/cli/galley.ts', import.meta.url))
const BATCH = { 'content-type': 'application/cloudevents-batch+json' }
const SUBJECT = 'card-of-anna-4711'
const TYPE = {
  fields: {
    card: { type: 'string' },
    shop: { type: 'string' },
    amount: { type: 'decimal', scale: 2 },
    at: { type: 'time', optional: true },
  },
  entities: { card: 'card', shop: 'shop' },
  checks: { sane: { kind: 'range', field: 'amount', min: 0, severity: 'reject' } },
}
const home = mkdtempSync(join(tmpdir(), 'galley-log-e2e-'))
afterAll(() => rmSync(home, { recursive: true, force: true }))

let tenant: Tenant
let key = ''
const event = (i: number, more: object = {}) => ({
  specversion: '1.0',
  id: `e${i}`,
  source: 'till',
  type: 'payment',
  time: `2026-01-${String(10 + (i % 10)).padStart(2, '0')}T12:00:00.000001Z`,
  data: { card: i % 4 === 0 ? SUBJECT : `c${i % 4}`, shop: `s${i % 3}`, amount: i / 100 },
  ...more,
})
beforeAll(async () => {
  tenant = await newTenant()
  key = tenant.key
  await ok('PUT', '/v1/event-types/payment', TYPE, { key })
  const events = Array.from({ length: 40 }, (_, i) => event(i))
  await ok('POST', '/v1/events?wait=true', events, { key, headers: BATCH }, 200)
})

async function galley<T>(...args: string[]): Promise<T> {
  const { url } = await product()
  const env = { XDG_CONFIG_HOME: home, GALLEY_URL: url, GALLEY_KEY: key }
  const out = await new Promise<string>((resolve, reject) =>
    execFile(
      process.execPath,
      [ENTRY, ...args, '--json'],
      { cwd: home, env },
      (error, text, err) => (error ? reject(new Error(err)) : resolve(text)),
    ),
  )
  return JSON.parse(out) as T
}

async function rowsOf(folder: string): Promise<Record<string, unknown>[]> {
  const connection = await (await DuckDBInstance.create(':memory:')).connect()
  const files = join(home, folder, '*.parquet')
  const read = await connection.runAndReadAll(
    `select source, id, f_card, entity, f_amount::double as amount, event_time::text as time
     from '${files}' order by id, entity`,
  )
  connection.closeSync()
  return read.getRowObjects()
}

type Manifest = { rows: number; files: { file: string; sha256: string; bytes: number }[] }

test('the log of a type is exported as Parquet that any DuckDB reads, with digests that hold', async () => {
  const manifest = await galley<Manifest>('events', 'export', 'all', '--type', 'payment')
  expect(manifest.rows).toBe(80)
  for (const { file, sha256, bytes } of manifest.files) {
    const content = readFileSync(join(home, 'all', file))
    expect([sha256Of(content), content.length]).toEqual([sha256, bytes])
  }
  expect(JSON.parse(readFileSync(join(home, 'all', 'manifest.json'), 'utf8'))).toEqual(manifest)
  const rows = await rowsOf('all')
  expect(rows).toHaveLength(80)
  expect(rows[0]).toEqual({
    source: 'till',
    id: 'e0',
    f_card: SUBJECT,
    entity: 'card',
    amount: 0,
    time: '2026-01-10 12:00:00.000001',
  })
  const days = ['--from', '2026-01-12T00:00:00Z', '--to', '2026-01-13T00:00:00Z']
  await galley('events', 'export', 'day', '--type', 'payment', ...days)
  const some = await rowsOf('day')
  expect(new Set(some.map(({ time }) => time))).toEqual(new Set(['2026-01-12 12:00:00.000001']))
  expect(some).toHaveLength(8)
})

test('an export of what is not there, and a cursor of something else, are refused', async () => {
  await refused('GET', '/v1/events/export?type=gone', undefined, 404, 'not_found', { key })
  const path = '/v1/events/export/rest?cursor=x'
  await refused('GET', path, undefined, 400, 'invalid_cursor', { key })
  const segment = '/v1/events/segments/seg_01k9zv4n8m5p7q2r3s6t8w9x0y/content'
  await refused('GET', segment, undefined, 404, 'not_found', { key })
  const stranger = await newTenant()
  const { body } = await api<{ data: unknown[] }>('GET', '/v1/events/segments', undefined, {
    key: stranger.key,
  })
  expect(body.data).toEqual([])
})

test('events are sent again as another type, once, however often that is done', async () => {
  await ok('PUT', '/v1/event-types/payment.v2', TYPE, { key })
  const again = () =>
    galley<{ replayed: number }>('events', 'replay', '--type', 'payment', '--as', 'payment.v2')
  expect([await again(), await again()]).toEqual([{ replayed: 40 }, { replayed: 40 }])
  await expect(galley('events', 'replay', '--type', 'paymnet')).rejects.toThrow('paymnet')
  const find = '/v1/events/find?source=replay:till&id=e39'
  while ((await api('GET', find, undefined, { key })).status === 404) await sleep(50)
  const { data } = await ok<{ data: { source: string; time: string; data: object }[] }>(
    'GET',
    '/v1/events?type=payment.v2&limit=100',
    undefined,
    { key },
  )
  expect(data).toHaveLength(40)
  expect(data[3]).toMatchObject({ source: 'replay:till', time: event(3).time, data: event(3).data })
})

test('a check that rejects is held by the edge; days of retention have a least', async () => {
  const bad = [event(100, { data: { card: 'c', shop: 's', amount: -1 } })]
  const options = { key, headers: BATCH }
  const problem = await refused('POST', '/v1/events', bad, 422, 'invalid_event', options)
  expect(problem.detail).toContain('sane: it must be at least 0.')
  const settings = { retention_days: 3 }
  await refused('PUT', '/v1/events/settings', settings, 422, 'invalid_definition', { key })
  expect(await galley('events', 'retention', '400')).toEqual({ retention_days: 400, kept_days: 42 })
  expect(await galley('events', 'quality')).toEqual({ data: [], has_more: false })
})

test('a subject is erased while it is asked for: no export, no listing and no object has it', async () => {
  const asked = await galley<{ id: string }>('events', 'erase', 'card', SUBJECT, '--yes')
  type Erasure = { state: string; erased: { events: number } }
  const path = `/v1/events/erasures/${asked.id}`
  for (;;) {
    const { erased } = await ok<Erasure>('GET', path, undefined, { key })
    // Ten of each type.
    if (erased.events === 20) break
    await sleep(100)
  }
  const { body } = await api<object>('GET', '/v1/events?limit=1000', undefined, { key })
  expect(JSON.stringify(body)).not.toContain(SUBJECT)
  await galley('events', 'export', 'after', '--type', 'payment')
  const rows = await rowsOf('after')
  expect(rows).toHaveLength(60)
  expect(rows.some(({ f_card }) => f_card === SUBJECT)).toBe(false)
  const audit = await api<object>('GET', '/v1/audit?limit=50', undefined, { key })
  expect(JSON.stringify(audit.body)).not.toContain(SUBJECT)
  expect(readdirSync(join(home, 'after'))).toContain('manifest.json')
})
