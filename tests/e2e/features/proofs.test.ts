/** A view proven on a tenant's own log, over the API and from the command line. */
import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { beforeAll, expect, test } from 'vitest'
import {
  type Job,
  named,
  newTenant,
  ok,
  receiptsSettled,
  refused,
  settled,
  type Tenant,
} from '../actions.ts'
import { product } from '../product.ts'

const ENTRY = fileURLToPath(new URL('../../../sdk/cli/galley.ts', import.meta.url))
const BATCH = { 'content-type': 'application/cloudevents-batch+json' }
const CARDS = 7

type ProofJob = Job & {
  kind: string
  proof: { entities: number; questions: number; values: number; mismatches: number }
}
let tenant: Tenant

beforeAll(async () => {
  tenant = await newTenant()
  const put = (path: string, body: unknown) => ok('PUT', path, body, { key: tenant.key })
  await put('/v1/event-types/payment', {
    fields: { card: { type: 'string' }, amount: { type: 'float' } },
    entities: { card: 'card' },
  })
  await put('/v1/feature-views/velocity', {
    entity: 'card',
    event_type: 'payment',
    features: {
      n: { agg: 'count', window: '1h' },
      spent: { agg: 'sum', of: 'amount', window: '1d', hop: '15m' },
      last: { agg: 'last', of: 'amount', ttl: '2h' },
    },
  })
  const events = Array.from({ length: 60 }, (_, i) => ({
    specversion: '1.0',
    id: `p${i}`,
    source: 'tests',
    type: 'payment',
    time: new Date(Date.now() - i * 600_000).toISOString(),
    data: { card: `c${i % CARDS}`, amount: i * 0.1 },
  }))
  const undone = { specversion: '1.0', id: 'r', source: 'tests', type: 'payment', retracts: 'p3' }
  const options = { key: tenant.key, headers: BATCH }
  await ok('POST', '/v1/events?wait=true', [...events, undone], options)
})

test('a proof asks about every entity and finds no bit that differs; it is billed like other work', async () => {
  const options = { key: tenant.key }
  const body = { kind: 'proof', view: 'velocity', questions: 300 }
  const created = await ok<Job>('POST', '/v1/jobs', body, options, 202)
  const job = (await settled(created.id, tenant.key)) as ProofJob
  expect(job).toMatchObject({
    kind: 'proof',
    state: 'done',
    error: null,
    proof: { entities: CARDS, skipped: 0, questions: 300, values: 900, mismatches: 0 },
    rows_done: 300,
    rows_failed: 0,
  })
  expect(job.result!.size).toBe(0)
  const [receipt] = await receiptsSettled(tenant.key, 1)
  expect(receipt).toMatchObject({ kind: 'proof', model: 'velocity', rows: 300 })
  const other = { kind: 'proof', view: named('none').replaceAll('-', '_') }
  const { errors } = await refused('POST', '/v1/jobs', other, 422, 'invalid_body', options)
  expect(errors![0]!.pointer).toBe('/view')
})

test('the command line says how many values were compared', async () => {
  const { url } = await product()
  const env = { GALLEY_URL: url, GALLEY_KEY: tenant.key, XDG_CONFIG_HOME: '/nowhere' }
  const args = [ENTRY, 'features', 'prove', 'velocity@1', '--questions', '50']
  const { stdout } = await promisify(execFile)(process.execPath, args, { env })
  expect(stdout).toContain('150 values of 5 entities, 0 mismatches')
})

test('a value is explained by the events that make it', async () => {
  const { url } = await product()
  const env = { GALLEY_URL: url, GALLEY_KEY: tenant.key, XDG_CONFIG_HOME: '/nowhere' }
  const args = [ENTRY, 'features', 'explain', 'velocity', 'c3']
  const { stdout } = await promisify(execFile)(process.execPath, [...args, '--json'], { env })
  const found = JSON.parse(stdout)
  expect(found.values).toMatchObject([
    { feature: 'n', status: 'PRESENT' },
    { feature: 'spent', status: 'PRESENT' },
    { feature: 'last', value: 1, status: 'PRESENT' },
  ])
  const parts = found.events.map(({ features }: { features: string[] }) => features)
  expect(parts.filter((names: string[]) => names.includes('n')).length).toBe(found.values[0].value)
  expect(found.events[0]).toMatchObject({
    left_out: 'retracted',
    features: [],
    data: { card: 'c3' },
  })
  const text = await promisify(execFile)(process.execPath, args, { env })
  expect(text.stdout).toContain('retracted')
  const options = { key: tenant.key }
  const path = '/v1/feature-views/velocity/explain'
  const wrong = { key: 'c3', at: '2200-01-01T00:00:00Z' }
  const { errors } = await refused('POST', path, wrong, 422, 'invalid_body', options)
  expect(errors![0]!.pointer).toBe('/at')
  await refused('POST', path, { key: ['c3', 'x'] }, 422, 'invalid_body', options)
  await refused('POST', '/v1/feature-views/none/explain', { key: 'c3' }, 404, 'not_found', options)
})

test('a read is sampled, and the log gives what it gave', async () => {
  const { url } = await product()
  const options = { key: tenant.key }
  await ok('PUT', '/v1/feature-services/velocity', { features: ['velocity:*'] }, options)
  const body = { entities: [{ card: 'c1' }] }
  await ok('POST', '/v1/features/velocity/read', body, options)
  type Skew = { views: { sampled: number; checked: number; mismatches: number }[] }
  const skew = () => ok<Skew>('GET', '/v1/features/skew', undefined, options)
  while ((await skew()).views.length === 0) await sleep(20)
  const env = { GALLEY_URL: url, GALLEY_KEY: tenant.key, XDG_CONFIG_HOME: '/nowhere' }
  const args = [ENTRY, 'features', 'skew', '--now', '--json']
  const { stdout } = await promisify(execFile)(process.execPath, args, { env })
  expect(JSON.parse(stdout)).toMatchObject({
    views: [{ view: 'velocity', version: 1, sampled: 1, checked: 1, mismatches: 0 }],
    mismatches: [],
  })
})

test('a service moves to another version of a view only when that is proven', async () => {
  const { url } = await product()
  const options = { key: tenant.key }
  const path = '/v1/feature-services/gated'
  const view = {
    entity: 'card',
    event_type: 'payment',
    features: { n: { agg: 'count', window: '1h' } },
  }
  await ok('PUT', '/v1/feature-views/gated', view, options)
  await ok('PUT', path, { features: ['gated:*'] }, options)
  const before = await ok<{ views: object[] }>('GET', path, undefined, options)
  const next = { ...view, features: { n: { agg: 'count', window: '2h' } } }
  await ok('PUT', '/v1/feature-views/gated', next, options)
  const { detail } = await refused(
    'PUT',
    path,
    { features: ['gated:*'] },
    409,
    'not_proven',
    options,
  )
  expect(detail).toContain('galley features prove gated@2')
  expect(await ok('GET', path, undefined, options)).toEqual(before)
  const folder = mkdtempSync(join(tmpdir(), 'galley-gate-'))
  const file = join(folder, 'definitions.json')
  writeFileSync(file, JSON.stringify({ services: { gated: { features: ['gated:*'] } } }))
  const env = { GALLEY_URL: url, GALLEY_KEY: tenant.key, XDG_CONFIG_HOME: '/nowhere' }
  const args = [ENTRY, 'features', 'apply', file, '--json']
  const { stdout } = await promisify(execFile)(process.execPath, args, { env })
  expect(JSON.parse(stdout)).toMatchObject({
    changes: [{ name: 'gated', change: 'next', version: 2 }],
  })
  const after = await ok<{ views: object[] }>('GET', path, undefined, options)
  expect(after.views).toMatchObject([{ name: 'gated', version: 2 }])
  rmSync(folder, { recursive: true })
})
