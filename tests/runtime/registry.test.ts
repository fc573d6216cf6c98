/** The registry between its transactions: what two do at once, and what nobody does. */
import fc from 'fast-check'
import { beforeEach, expect, test } from 'vitest'
import * as bulk from '#core/inference/bulk.ts'
import * as jobs from '#core/jobs/jobs.ts'
import * as models from '#core/models/models.ts'
import type { TenantId } from '#schemas/ids.ts'
import { files } from '#schemas/tables/models.ts'
import { callOf, handClock, inTenant, newTenant } from '#tests/caller.ts'
import { testDatabase } from '#tests/database.ts'

const { db, admin } = await testDatabase()
const SHA256 = 'a'.repeat(64)
const MANIFEST = { files: [{ path: 'm.onnx', sha256: SHA256, size: 10 }] }
const SIGNATURE = { inputs: [], outputs: [], batching: 'invariant' as const }
let tenantId: TenantId
let clock = handClock()
beforeEach(async () => {
  clock = handClock()
  tenantId = (await newTenant(db)).tenantId
  await tenant(({ tx }) => tx.insert(files).values({ tenantId, sha256: SHA256, size: 10 }))
})

const tenant = <T>(work: Parameters<typeof inTenant<T>>[2]) =>
  inTenant({ db, clock }, tenantId, work)
const publish = (model = 'm', hardware?: string) =>
  tenant(unit =>
    models.publish({ ...unit, suppliedClasses: ['gpu'] }, callOf(tenantId), {
      model,
      ...MANIFEST,
      hardware,
    }),
  )
const remove = (version = '1') =>
  tenant(unit => models.remove(unit, callOf(tenantId), { model: 'm', version }))
const versionId = async () =>
  (await admin.query('select id from model_versions where tenant_id = $1', [tenantId])).rows[0].id
async function publishReady() {
  await publish()
  const id = await versionId()
  const verdict = { ok: true as const, signature: SIGNATURE, report: {} }
  await tenant(unit => models.validation.judge(unit, id, verdict))
}
const createJob = () =>
  tenant(unit =>
    bulk.create(unit, callOf(tenantId), {
      model: 'm',
      input: { sha256: SHA256, format: 'jsonl' },
      expires_in_s: 3600,
    }),
  )
const askedFor = async () =>
  (await admin.query('select 1 from outbox where tenant_id = $1', [tenantId])).rowCount

test('a job and the deletion of its version, asked at once: one of them is refused', async () => {
  for (let round = 0; round < 20; round++) {
    tenantId = (await newTenant(db)).tenantId
    await tenant(({ tx }) => tx.insert(files).values({ tenantId, sha256: SHA256, size: 10 }))
    await publishReady()
    const [job, deletion] = await Promise.allSettled([createJob(), remove()])
    expect([job.status, deletion.status].sort()).toEqual(['fulfilled', 'rejected'])
    if (job.status === 'rejected') expect(job.reason.code).toBe('not_found')
    if (deletion.status === 'rejected') expect(deletion.reason.code).toBe('in_use')
  }
})

test('a version that is deleted while it is validated stays deleted, whatever the verdict', async () => {
  await publish()
  const id = await versionId()
  await remove()
  expect(await tenant(unit => models.validation.open(unit, { versionId: id }))).toBeNull()
  const verdict = { ok: true as const, signature: SIGNATURE, report: {} }
  await tenant(unit => models.validation.judge(unit, id, verdict))
  expect(await tenant(unit => models.version(unit, { model: 'm', version: '1' }))).toMatchObject({
    state: 'deleted',
  })
})

test('a validation whose message was lost is asked for again, and given up in the end instead of never', async () => {
  await publish()
  expect(await askedFor()).toBe(1)
  await admin.query('delete from outbox')
  await models.validation.askAgain({ db, clock })
  expect(await askedFor()).toBe(0)
  clock.forward(6 * 60_000)
  await models.validation.askAgain({ db, clock })
  await models.validation.askAgain({ db, clock })
  expect(await askedFor()).toBe(1)
  for (let asks = 0; asks < 24; asks++) {
    const begun = { versionId: await versionId() }
    expect(await tenant(unit => models.validation.open(unit, begun))).not.toBeNull()
    clock.forward(6 * 60_000)
    await models.validation.askAgain({ db, clock })
  }
  const given = await tenant(unit => models.version(unit, { model: 'm', version: '1' }))
  expect(given).toMatchObject({ state: 'invalid', error: expect.stringContaining('validation') })
  expect(await publish()).toMatchObject({ version: 2, state: 'validating' })
})

test('a version that no runner has begun waits for as long as it takes, asked for ever more rarely', async () => {
  await publish('m', 'gpu')
  await admin.query('delete from outbox')
  for (let minute = 0; minute < 24 * 60; minute += 5) {
    clock.forward(5 * 60_000)
    await models.validation.askAgain({ db, clock })
  }
  const { rows } = await admin.query('select distinct queue from outbox where tenant_id = $1', [
    tenantId,
  ])
  expect(rows).toEqual([{ queue: 'validate-gpu' }])
  expect(await askedFor()).toBeGreaterThanOrEqual(24)
  expect(await askedFor()).toBeLessThanOrEqual(48)
  const id = await versionId()
  const open = (hardware?: string) =>
    tenant(unit => models.validation.open(unit, { versionId: id, hardware }))
  expect(await open('cpu')).toBe('elsewhere')
  expect(await open()).toBe('elsewhere')
  expect(await open('gpu')).toMatchObject({ hardware: 'gpu' })
})

test('a version that was judged is not asked for again', async () => {
  await publishReady()
  await admin.query('delete from outbox')
  clock.forward(60 * 60_000)
  await models.validation.askAgain({ db, clock })
  expect(await askedFor()).toBe(0)
})

test('a cursor of another listing, or of none, is refused as such, never a fault', async () => {
  await publish()
  const forged = fc.oneof(
    fc.string(),
    fc.json().map(text => Buffer.from(text).toString('base64url')),
    fc
      .tuple(
        fc.constantFrom('jobs', 'models', 'versions', 'keys'),
        fc.oneof(
          fc.string(),
          fc.constantFrom('\0', 'a\0b', 'NaN'),
          fc.integer(),
          fc.double(),
          fc.maxSafeInteger(),
        ),
      )
      .map(pair => Buffer.from(JSON.stringify(pair)).toString('base64url')),
  )
  await fc.assert(
    fc.asyncProperty(forged, async cursor => {
      const query = { limit: 10, cursor }
      const listings = [
        tenant(unit => models.list(unit, query)),
        tenant(unit => models.versions(unit, { model: 'm', ...query })),
        tenant(unit => jobs.list(unit, query)),
      ]
      for (const outcome of await Promise.allSettled(listings)) {
        if (outcome.status === 'rejected') expect(outcome.reason.code).toBe('invalid_cursor')
      }
    }),
    { numRuns: 100 },
  )
})
