/** Batches in the database: done and billed are one fact, and what ends early keeps what it has. */
import { beforeAll, expect, test } from 'vitest'
import * as batches from '#core/inference/batches/batches.ts'
import * as jobs from '#core/jobs/jobs.ts'
import * as models from '#core/models/models.ts'
import * as usage from '#core/usage/usage.ts'
import { newId, type StepId, type TenantId } from '#schemas/ids.ts'
import { batchFiles } from '#schemas/tables/batch-files.ts'
import { models as modelRows, modelVersions } from '#schemas/tables/models.ts'
import { callOf, handClock, inTenant } from '#tests/caller.ts'
import { testDatabase } from '#tests/database.ts'

const { db, admin } = await testDatabase()
const HOUR_MS = 3_600_000
const EMBEDDING = { output: 'h', width: 4, is_masked: true, vocabulary: 9 }
const SHARDS = 3
let tenantId: TenantId

beforeAll(async () => {
  tenantId = newId('tenant')
  const manifest = { graph: 'm.onnx', files: [] }
  const base = { inputs: [], outputs: [], batching: 'invariant' as const }
  await inTenant({ db }, tenantId, async ({ tx }) => {
    for (const [model, signature] of Object.entries({
      text: { ...base, embedding: EMBEDDING },
      tensors: base,
      dear: { ...base, embedding: EMBEDDING },
    })) {
      await tx.insert(modelRows).values({ tenantId, name: model, lastNumber: 1 })
      const version = { id: newId('version'), number: 1, digest: 'd'.repeat(64) }
      await tx.insert(modelVersions).values({
        ...{ tenantId, model, ...version, state: 'ready', signature },
        manifest: model === 'dear' ? { ...manifest, hardware: 'gpu' } : manifest,
      })
    }
  })
})

/** A batch, and a runner that does its steps one by one. */
async function newBatch() {
  const clock = handClock()
  const tx = <T>(work: Parameters<typeof inTenant<T>>[2]) => inTenant({ db, clock }, tenantId, work)
  const file = newId('file', clock.now())
  const row = { tenantId, id: file, state: 'ready' as const, size: 100 }
  await tx(unit => unit.tx.insert(batchFiles).values({ ...row, createdAt: new Date(clock.now()) }))
  const wanted = { input_file_id: file, endpoint: '/v1/embeddings' }
  const { id } = await tx(unit => batches.create(unit, callOf(tenantId), wanted))
  const stepsOf = async (kind: string) =>
    (
      await admin.query<{ id: StepId; state: string }>(
        'select id, state from steps where run_id = $1 and kind = $2 order by number',
        [id, kind],
      )
    ).rows
  const lease = (stepId: StepId, hardware = 'cpu') =>
    tx(async unit => {
      const reply = await jobs.leases.lease(unit, { stepId, runner: 'r', hardware })
      if (reply.status !== 'leased') throw new Error(reply.status)
      return batches.assignment(unit, reply)
    })
  const finish = (at: { stepId: StepId; epoch: number }, outcome: batches.Outcome) =>
    tx(unit => batches.finish(unit, { stepId: at.stepId, epoch: at.epoch, outcome }))
  const shards = Array.from({ length: SHARDS }, (_, i) => {
    return { start: i * 10, end: i * 10 + 10, row: i * 10, rows: 10 }
  })
  return {
    id,
    file,
    clock,
    tx,
    stepsOf,
    lease,
    finish,
    shown: () => tx(unit => batches.get(unit, { batch_id: id })),
    cancel: () => tx(unit => batches.cancel(unit, callOf(tenantId), { batch_id: id })),
    billed: () =>
      tx(async unit => {
        const { data } = await usage.totals(unit, { group_by: ['job'] })
        return data.find(each => each.group.job === id)
      }),
    async plan(model = 'text') {
      const [plan] = await stepsOf('plan')
      await finish(await lease(plan!.id), { kind: 'batch_plan', model, rows: 30, shards })
    },
  }
}

function shardOutcome(number: number): batches.Outcome {
  return {
    kind: 'batch_shard',
    part: { key: `shard ${number}`, errorsKey: number === 1 ? 'errors 1' : null },
    rowsDone: 10,
    rowsFailed: number === 1 ? 2 : 0,
    rows: 12,
    tokens: 50,
    computeUs: 7,
    bytesIn: 3,
    bytesOut: 4,
  }
}

test('what a batch does with a model for a class of machines is asked of that class, and leased by no other', async () => {
  const batch = await newBatch()
  await admin.query('delete from outbox')
  await batch.plan('dear')
  const { rows } = await admin.query('select distinct queue from outbox')
  expect(rows).toEqual([{ queue: 'work-gpu' }])
  const [shard] = await batch.stepsOf('shard')
  await expect(batch.lease(shard!.id)).rejects.toThrow('elsewhere')
  expect(await batch.lease(shard!.id, 'gpu')).toMatchObject({ spec: { hardware: 'gpu' } })
})

test('a batch goes its way from validating to completed, and each shard is billed once, by its tokens', async () => {
  const batch = await newBatch()
  expect((await batch.shown()).status).toBe('validating')
  await batch.plan()
  expect(await batch.shown()).toMatchObject({ status: 'in_progress', model: 'text' })
  const steps = await batch.stepsOf('shard')
  for (const [number, { id }] of steps.entries()) {
    const leased = await batch.lease(id)
    await batch.finish(leased, shardOutcome(number))
    // The answer was lost on its way: the runner says it again.
    await batch.finish(leased, shardOutcome(number))
  }
  expect((await batch.shown()).status).toBe('finalizing')
  const [merge] = await batch.stepsOf('merge')
  const leased = await batch.lease(merge!.id)
  expect(leased.join!.parts.map(part => part.key)).toEqual(['shard 0', 'shard 1', 'shard 2'])
  const { output, errors } = leased.join!
  const outcome = { kind: 'batch_merge' as const, output: { id: output, size: 9 }, errors: null }
  await batch.finish(leased, outcome)
  await batch.finish(leased, outcome)
  expect(await batch.shown()).toMatchObject({
    status: 'completed',
    output_file_id: output,
    error_file_id: null,
    request_counts: { total: 30, completed: 28, failed: 2 },
  })
  expect(await batch.billed()).toMatchObject({ receipts: 3, rows: 36, tokens: 150, compute_us: 21 })
  const made = await batch.tx(unit => batches.files.list(unit, { limit: 10, order: 'desc' }))
  const ids = made.data.map(each => each.id)
  expect([ids.includes(output), ids.includes(errors)]).toEqual([true, false])
})

test('a runner that comes back after its shard was taken over changes and bills nothing', async () => {
  const batch = await newBatch()
  await batch.plan()
  const [first] = await batch.stepsOf('shard')
  const dead = await batch.lease(first!.id)
  const alive = await batch.lease(first!.id)
  await expect(batch.finish(dead, shardOutcome(0))).rejects.toMatchObject({ code: 'stale_epoch' })
  await batch.finish(alive, shardOutcome(0))
  expect((await batch.billed())!.tokens).toBe(50)
})

test('a canceled batch joins what is done, gives up the rest, and ends with its files', async () => {
  const batch = await newBatch()
  await batch.plan()
  const steps = await batch.stepsOf('shard')
  await batch.finish(await batch.lease(steps[0]!.id), shardOutcome(0))
  const underWay = await batch.lease(steps[1]!.id)
  expect((await batch.cancel()).status).toBe('cancelling')
  await expect(batch.finish(underWay, shardOutcome(1))).rejects.toMatchObject({
    code: 'stale_epoch',
  })
  expect((await batch.cancel()).status).toBe('cancelling')
  const audited = `select 1 from audit_log where target = $1 and action = 'jobs.cancel'`
  expect((await admin.query(audited, [batch.id])).rowCount).toBe(1)
  const leased = await batch.lease((await batch.stepsOf('merge'))[0]!.id)
  expect(leased.join!.parts.map(part => part.key)).toEqual(['shard 0'])
  const output = { id: leased.join!.output, size: 3 }
  await batch.finish(leased, { kind: 'batch_merge', output, errors: null })
  expect(await batch.shown()).toMatchObject({
    status: 'cancelled',
    output_file_id: output.id,
    request_counts: { total: 30, completed: 10 },
  })
  expect((await batch.billed())!.tokens).toBe(50)
})

test('a batch that is canceled before its file was read ends at once', async () => {
  const batch = await newBatch()
  expect(await batch.cancel()).toMatchObject({ status: 'cancelled', output_file_id: null })
})

test('a batch that runs out of its day keeps what is done, and does not wait for ever to join it', async () => {
  const joined = await outOfTime()
  const leased = await joined.lease((await joined.stepsOf('merge'))[0]!.id)
  const output = { id: leased.join!.output, size: 3 }
  await joined.finish(leased, { kind: 'batch_merge', output, errors: null })
  expect(await joined.shown()).toMatchObject({ status: 'expired', output_file_id: output.id })
  const hung = await outOfTime()
  hung.clock.forward(2 * HOUR_MS)
  await jobs.sweep.expireRuns({ db, clock: hung.clock })
  expect(await hung.shown()).toMatchObject({ status: 'expired', output_file_id: null })
})

/** One shard is done, and the day is over. */
async function outOfTime() {
  const batch = await newBatch()
  await batch.plan()
  await batch.finish(await batch.lease((await batch.stepsOf('shard'))[0]!.id), shardOutcome(0))
  batch.clock.forward(25 * HOUR_MS)
  await jobs.sweep.expireRuns({ db, clock: batch.clock })
  expect((await batch.shown()).status).toBe('finalizing')
  return batch
}

test.each([
  ['nobody', /no model "nobody"/],
  ['tensors', /takes tensors/],
  ['a:b:c', /names no model/],
])(
  'a batch that asks the model "%s" fails before it begins, with the reason',
  async (model, words) => {
    const batch = await newBatch()
    await batch.plan(model)
    expect(await batch.shown()).toMatchObject({
      status: 'failed',
      errors: { data: [{ message: expect.stringMatching(words), param: 'model' }] },
    })
  },
)

test('what a batch under way needs cannot be deleted: its version, its file', async () => {
  const batch = await newBatch()
  await batch.plan()
  const call = callOf(tenantId)
  const version = { model: 'text', version: '1' }
  await expect(batch.tx(unit => models.remove(unit, call, version))).rejects.toMatchObject({
    code: 'in_use',
  })
  const blobs = { delete: async () => {} } as never
  const deps = { db, clock: batch.clock, blobs }
  const removing = () => batches.files.remove(deps, call, { file_id: batch.file })
  await expect(removing()).rejects.toMatchObject({ code: 'in_use' })
})
