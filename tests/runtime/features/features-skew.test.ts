/** The skew meter: reads that were answered are what the log gives, and one that was not is found and shown. */
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { EntityRead } from '#core/deps.ts'
import * as events from '#core/events/events.ts'
import { partitionOf } from '#core/events/partition.ts'
import * as features from '#core/features/features.ts'
import * as jobs from '#core/jobs/jobs.ts'
import { checkReads } from '#gpu-runners/features/skew/job.ts'
import { newId, type StepId, type TenantId } from '#schemas/ids.ts'
import { callOf, inTenant } from '#tests/caller.ts'
import { testDatabase } from '#tests/database.ts'
import { eventOf, newScene, TYPE } from '../events/scene.ts'
import { blobsOfTest } from '../events/sealed-log.ts'

const { db, admin } = await testDatabase()
const scene = { ...(await newScene(db)), blobs: blobsOfTest() }
const scratch = mkdtempSync(join(tmpdir(), 'galley-skew-'))
afterAll(() => rmSync(scratch, { recursive: true, force: true }))
const signal = new AbortController().signal
const MINUTE = 60_000
const CARDS = ['c0', 'c1', 'c2']
let tenantId: TenantId

const unitOf = <T>(work: Parameters<typeof inTenant<T>>[2]) =>
  inTenant({ db, clock: scene.clock }, tenantId, work)

beforeAll(async () => {
  scene.clock.forward(-20 * 24 * 60 * MINUTE)
  tenantId = await scene.newTenant()
  const call = callOf(tenantId)
  await unitOf(async unit => {
    const windowed = { of: 'amount', window: '1h' }
    const definition = {
      entity: 'card',
      event_type: TYPE.type,
      features: {
        spent: { agg: 'sum' as const, ...windowed },
        mean: { agg: 'avg' as const, ...windowed },
        last: { agg: 'last' as const, of: 'amount' },
      },
    }
    await features.applyView(unit, call, { view: 'spending', ...definition })
    await features.applyService(unit, call, { service: 'fraud', features: ['spending:*'] })
  })
})

/** As an edge samples it. */
async function sampled(read: EntityRead, change: (values: unknown[]) => void = () => {}) {
  const { entity, entityKey, at, views } = read
  const { values, statuses } = views[0]!
  change(values)
  const about = { keyId: newId('key'), view: 'spending', version: 1, entity, entityKey, at }
  await unitOf(unit => features.skew.record(unit, tenantId, { ...about, values, statuses }))
}

async function readOf(card: string): Promise<EntityRead> {
  const plan = (await unitOf(unit => features.servicePlan(unit, 'fraud')))!
  const group = Math.floor(partitionOf('card', card) / scene.features.partitionsPerObject)
  const keys = [{ entity: 'card', entityKey: card }]
  const object = scene.features.group(tenantId, group)
  const { reads } = await object.read({ planHash: plan.hash, plan, keys })
  return reads[0]!
}

async function play(rounds: number): Promise<void> {
  for (let i = 0; i < rounds; i++) {
    const id = newId('request')
    const sent = CARDS.map((card, j) => ({
      id: `${id}-${j}`,
      data: { card, amount: i * 7 + j },
      time: new Date(scene.clock.now() - j * MINUTE).toISOString(),
    }))
    const retracts = i % 3 === 2 ? [{ id: `${id}-r`, retracts: `${id}-0` }] : []
    const all = [...sent, ...retracts]
    const raw = all.map(each => eventOf(tenantId, each, scene.clock.now() * 1_000))
    await events.ingest(scene, tenantId, raw)
    scene.clock.forward(3 * MINUTE)
    await sampled(await readOf(CARDS[i % 3]!))
  }
}

const control = {
  insist: async <T>(_: string, input: unknown) => {
    const { tenantId: _tenant, ...query } = input as events.ExportQuery & { tenantId: TenantId }
    return (await unitOf(unit => events.exported(unit, query))) as T
  },
}

async function checked(stepId: StepId) {
  const assignment = (await unitOf(async unit => {
    const reply = await jobs.leases.lease(unit, { stepId, runner: 'runner-0' })
    return reply.status === 'leased' ? features.checks.assignment(unit, reply) : null
  }))!
  const outcome = await checkReads({ ...scene, control, scratch }, assignment, signal)
  expect(readdirSync(scratch)).toEqual([])
  const { epoch } = assignment
  const finish = () => unitOf(unit => features.checks.finish(unit, { stepId, epoch, outcome }))
  await finish()
  await finish()
}

async function check() {
  const job = await unitOf(unit =>
    features.checks.create(unit, callOf(tenantId), { expires_in_s: 600 }),
  )
  const { rows } = await admin.query('select id from steps where run_id = $1', [job.id])
  await checked(rows[0].id)
  const end = await unitOf(unit => jobs.get(unit, { job_id: job.id }))
  return end.kind === 'skew' ? end : null
}

test('reads that were answered are what the log gives, to the bit', async () => {
  await play(9)
  expect(await check()).toMatchObject({
    state: 'done',
    result: null,
    skew: { checked: 9, mismatches: 0, pending: 0 },
  })
  const { views, mismatches } = await unitOf(unit => features.skew.report(unit))
  expect(views).toMatchObject([{ view: 'spending', version: 1, sampled: 9, checked: 9 }])
  expect(mismatches).toEqual([])
})

test('one that differs is given the time that the log needs to settle, and is then shown', async () => {
  await play(1)
  const read = await readOf('c1')
  const right = read.views[0]!.values[0]
  await sampled(read, values => {
    values[0] = 4711
  })
  scene.clock.forward(1)
  const before = await check()
  expect(before!.skew).toEqual({ checked: 1, mismatches: 0, pending: 1 })
  scene.clock.forward(11 * MINUTE)
  const after = await check()
  expect(after!.skew).toEqual({ checked: 1, mismatches: 1, pending: 0 })
  expect(after!.rows_failed).toBe(1)
  const { mismatches } = await unitOf(unit => features.skew.report(unit))
  expect(mismatches).toMatchObject([
    {
      view: 'spending',
      entity_key: 'c1',
      feature: 'spent',
      served: { value: 4711, status: 'PRESENT' },
      recomputed: { value: right, status: 'PRESENT' },
    },
  ])
})

test('every hour what waits is checked, billed to nobody; an erasure takes all samples with it', async () => {
  const count = async (what: string) =>
    Number((await admin.query(`select count(*) from ${what}`)).rows[0].count)
  const jobsBefore = await count('runs')
  await features.checks.startDue(scene)
  expect(await count('runs')).toBe(jobsBefore)
  await play(2)
  await features.checks.startDue(scene)
  expect(await count('runs')).toBe(jobsBefore + 1)
  const { rows } = await admin.query(`select id from steps where state = 'queued'`)
  await checked(rows[0].id)
  expect(await count(`feature_reads where state = 'new'`)).toBe(0)
  expect(await count('receipts')).toBe(0)
  await unitOf(unit => features.skew.forget(unit))
  expect(await count('feature_reads')).toBe(0)
})
