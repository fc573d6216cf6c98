/** Imported tables: the newest row of an entity, online as in the log, whoever dies, and once. */
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import * as blobKeys from '#core/blob-keys.ts'
import type { AppError } from '#core/error.ts'
import * as events from '#core/events/events.ts'
import { partitionOf } from '#core/events/partition.ts'
import * as features from '#core/features/features.ts'
import * as jobs from '#core/jobs/jobs.ts'
import type { Control } from '#gpu-runners/control.ts'
import { importTable } from '#gpu-runners/features/tables/job.ts'
import type { Event } from '#schemas/event.ts'
import type { StepId, TenantId } from '#schemas/ids.ts'
import { callOf, inTenant } from '#tests/caller.ts'
import { testDatabase } from '#tests/database.ts'
import { newScene } from '../events/scene.ts'
import { blobsOfTest } from '../events/sealed-log.ts'

const { db, admin } = await testDatabase()
const scene = { ...(await newScene(db)), blobs: blobsOfTest() }
const scratch = mkdtempSync(join(tmpdir(), 'galley-tables-'))
afterAll(() => rmSync(scratch, { recursive: true, force: true }))
const signal = new AbortController().signal
const DAY = 86_400_000
const FIELDS = {
  customer: { type: 'string' as const },
  limit: { type: 'decimal' as const, scale: 2 },
  segment: { type: 'string' as const, optional: true as const },
  since: { type: 'time' as const, optional: true as const },
}
let tenantId: TenantId

const unitOf = <T>(work: Parameters<typeof inTenant<T>>[2]) =>
  inTenant({ db, clock: scene.clock }, tenantId, work)
const before = (days: number) => new Date(scene.clock.now() - days * DAY).toISOString()

beforeAll(async () => {
  tenantId = await scene.newTenant()
})

type Wanted = { time?: string; fields?: Parameters<typeof features.tables.put>[2]['fields'] }
async function put(rows: object[], more: Wanted = { time: 'since' }) {
  const bytes = Buffer.from(rows.map(row => `${JSON.stringify(row)}\n`).join(''))
  const sha256 = Buffer.from(await crypto.subtle.digest('SHA-256', bytes)).toString('hex')
  await scene.blobs.put(blobKeys.file(tenantId, sha256), bytes)
  const file = { sha256, format: 'jsonl' as const }
  const entities = { customer: 'customer' }
  const input = { table: 'customers', file, fields: FIELDS, entities, ...more }
  return unitOf(unit =>
    features.tables.put(unit, callOf(tenantId), input, async () => bytes.length),
  )
}

const control: Pick<Control, 'insist'> = {
  insist: async <T>(_: string, input: unknown) => {
    const { tenantId, events: all } = input as { tenantId: TenantId; events: Event[] }
    return (await events.ingestNow(scene, tenantId, all)) as T
  },
}

async function leased(job: string) {
  const { rows } = await admin.query('select id from steps where run_id = $1', [job])
  const stepId = rows[0].id as StepId
  const assignment = await unitOf(async unit => {
    const reply = await jobs.leases.lease(unit, { stepId, runner: 'runner-0' })
    return reply.status === 'leased' ? features.tables.assignment(unit, reply) : null
  })
  return assignment!
}

async function imported(job: string, by = control): Promise<void> {
  const assignment = await leased(job)
  const { stepId, epoch } = assignment
  const deps = { ...scene, control: by, scratch }
  const outcome = await importTable(deps, assignment, signal, () => {}).catch(async error => {
    const failure = { stepId, epoch, kind: 'permanent' as const }
    const told = { code: error.code ?? 'internal', detail: error.public ?? String(error) }
    await unitOf(unit => jobs.leases.fail(unit, { ...failure, error: told }))
    throw error
  })
  expect(readdirSync(scratch)).toEqual([])
  await unitOf(unit => features.tables.finish(unit, { stepId, epoch, outcome }))
}

async function valuesOf(customer: string) {
  const plan = (await unitOf(unit => features.servicePlan(unit, 'customers')))!
  const group = Math.floor(partitionOf('customer', customer) / scene.features.partitionsPerObject)
  const keys = [{ entity: 'customer', entityKey: customer }]
  const object = scene.features.group(tenantId, group)
  const { reads } = await object.read({ planHash: plan.hash, plan, keys })
  return { values: reads[0]!.views[0]!.values, statuses: reads[0]!.views[0]!.statuses }
}

test('the newest row counts, however long ago it began to hold, and not past its ttl', async () => {
  const table = await put([
    { customer: 'c1', limit: '100.50', segment: 'gold', since: before(30) },
    { customer: 'c1', limit: 80, segment: 'old', since: before(900) },
    { customer: 'c2', limit: 5, segment: null, since: before(300) },
  ])
  expect(table).toMatchObject({ version: 1, event_type: 'table.customers', state: 'queued' })
  await imported(table.job)
  await unitOf(async unit => {
    const definition = {
      entity: 'customer',
      event_type: 'table.customers',
      features: {
        limit: { agg: 'last' as const, of: 'limit' },
        segment: { agg: 'last' as const, of: 'segment', ttl: '100d' },
      },
    }
    const call = callOf(tenantId)
    await features.applyView(unit, call, { view: 'customers', ...definition })
    await features.applyService(unit, call, { service: 'customers', features: ['customers:*'] })
  })
  expect(await valuesOf('c1')).toEqual({
    values: [10_050, 'gold'],
    statuses: ['PRESENT', 'PRESENT'],
  })
  expect(await valuesOf('c2')).toEqual({
    values: [500, null],
    statuses: ['PRESENT', 'OUTSIDE_MAX_AGE'],
  })
  expect((await valuesOf('nobody')).statuses).toEqual(['NOT_FOUND', 'NOT_FOUND'])
})

test('the same file is the same version; another is the next, and of equal times its rows are the newer', async () => {
  const rows = [{ customer: 'c3', limit: 1, since: before(2) }]
  const first = await put(rows)
  await imported(first.job)
  expect(await put(rows)).toMatchObject({ version: first.version, state: 'done', rows: 1 })
  const second = await put([{ ...rows[0], limit: 2 }])
  expect(second.version).toBe(first.version + 1)
  await imported(second.job)
  expect((await valuesOf('c3')).values[0]).toBe(200)
  const { versions } = await unitOf(unit => features.tables.get(unit, { table: 'customers' }))
  expect(versions.map(({ version }) => version)).toEqual([3, 2, 1])
  const { data } = await unitOf(unit => features.tables.list(unit, { limit: 10 }))
  expect(data.map(({ name, version }) => [name, version])).toEqual([['customers', 3]])
})

test('a runner that dies between its rows has left some of them, and the next leaves each once', async () => {
  const rows = Array.from({ length: 1_200 }, (_, i) => ({ customer: `m${i}`, limit: i }))
  const table = await put(rows, {})
  let asked = 0
  const dying: Pick<Control, 'insist'> = {
    insist: async (...args) => {
      if (++asked > 1) throw new Error('the runner has died')
      return control.insist(...args)
    },
  }
  const assignment = await leased(table.job)
  const deps = { ...scene, control: dying, scratch }
  await expect(importTable(deps, assignment, signal, () => {})).rejects.toThrow('has died')
  const count = async () =>
    Number(
      (
        await admin.query(
          `select count(*) from event_positions where tenant_id = $1 and entity_key like 'm%'`,
          [tenantId],
        )
      ).rows[0].count,
    )
  expect(await count()).toBe(500)
  await imported(table.job)
  expect(await count()).toBe(1_200)
  expect((await valuesOf('m1199')).values[0]).toBe(119_900)
})

test('a file that does not fit is refused whole, with the row, the column and what was expected', async () => {
  const wrong = async (rows: object[], more?: Wanted) => {
    const table = await put(rows, more)
    const error = (await imported(table.job).catch(error => error)) as AppError
    const { versions } = await unitOf(unit => features.tables.get(unit, { table: 'customers' }))
    expect(versions[0]).toMatchObject({ state: 'failed', error: { detail: error.public } })
    return error.public
  }
  const row = { customer: 'w1', limit: 1, since: before(1) }
  expect(await wrong([row, { ...row, limit: 1.234 }])).toBe(
    'Row 1 (from 0), column "limit": It must be a number with at most 2 digits after the point.',
  )
  expect(await wrong([row, { ...row, customer: null }])).toContain(
    'Row 1 (from 0), column "customer"',
  )
  expect(await wrong([row, { ...row, since: 'soon' }])).toContain('Row 1 (from 0), column "since"')
  expect(await wrong([{ customer: 'w1', since: before(1) }])).toBe(
    'The file has no column limit; it has customer, since.',
  )
  expect((await valuesOf('w1')).statuses).toEqual(['NOT_FOUND', 'NOT_FOUND'])
  const scored = { ...FIELDS, score: { type: 'float' as const, optional: true as const } }
  expect(
    await wrong(
      [
        { ...row, score: 1 },
        { ...row, score: 'high' },
      ],
      { fields: scored },
    ),
  ).toContain('Row 1 (from 0), column "score"')
  const missing = features.tables.put
  const file = { sha256: 'a'.repeat(64), format: 'jsonl' as const }
  const input = { table: 'customers', file, fields: FIELDS, entities: { customer: 'customer' } }
  const none = () => unitOf(unit => missing(unit, callOf(tenantId), input, async () => undefined))
  await expect(none()).rejects.toMatchObject({ code: 'invalid_body' })
})
