/** Switches and rollouts in the database: one transaction each, in a log that tells all of them. */
import { beforeEach, expect, test } from 'vitest'
import type { Unit } from '#core/deps.ts'
import * as models from '#core/models/models.ts'
import { emptyReport, emptySide } from '#core/models/rollout/report.ts'
import type { KeyId, TenantId, VersionId } from '#schemas/ids.ts'
import type { Guard } from '#schemas/rollout.ts'
import type { Signature } from '#schemas/signature.ts'
import { files } from '#schemas/tables/models.ts'
import { callOf, handClock, inTenant, newTenant } from '#tests/caller.ts'
import { testDatabase } from '../../database.ts'

const SIGNATURE: Signature = { inputs: [], outputs: [], batching: 'invariant' }
const GUARD: Guard = {
  requests_min: 10,
  errors_max: 0.1,
  latency_ratio_max: null,
  shift_max: null,
  rows_differing_max: null,
}
const { db } = await testDatabase()
const clock = handClock()
let tenantId: TenantId
let keyId: KeyId

beforeEach(async () => {
  ;({ tenantId, keyId } = await newTenant(db))
  for (const sha256 of ['a', 'b', 'c']) await publishReady(sha256.repeat(64))
})

const tenant = <T>(work: (unit: Unit) => Promise<T>) => inTenant({ db, clock }, tenantId, work)
const call = () => callOf(tenantId, { keyId })
async function publishReady(sha256: string): Promise<void> {
  clock.forward(1_000)
  await tenant(async unit => {
    await unit.tx.insert(files).values({ tenantId, sha256, size: 10 })
    const given = { model: 'm', files: [{ path: 'm.onnx', sha256, size: 10 }] }
    await models.publish({ ...unit, suppliedClasses: [] }, call(), given)
  })
  const { rows } = await tenant(({ tx }) =>
    tx.execute<{ id: VersionId }>("select id from model_versions where state = 'validating'"),
  )
  for (const { id } of rows) {
    const verdict = { ok: true as const, signature: SIGNATURE, report: {} }
    await tenant(unit => models.validation.judge(unit, id, verdict))
  }
}
function flip(version: number) {
  clock.forward(1_000)
  const input = { model: 'm', alias: 'champion', version }
  return tenant(unit => models.aliases.setAlias(unit, call(), input))
}
function rollback() {
  clock.forward(1_000)
  const input = { model: 'm', alias: 'champion' }
  return tenant(unit => models.aliases.rollback(unit, call(), input))
}
const promote = () => tenant(unit => models.aliases.promote(unit, call(), { model: 'm' }))
function begin(version: number, more: { mode?: 'canary' | 'shadow'; percent?: number } = {}) {
  clock.forward(1_000)
  const tolerance = { absolute: 0, relative: 0 }
  const { mode = 'canary', percent = 10 } = more
  const wanted = { model: 'm', alias: 'champion', mode, percent, tolerance, guard: GUARD, version }
  return tenant(unit => models.rollouts.put(unit, call(), wanted))
}
const served = () => tenant(unit => models.resolveServed(unit, 'm'))
const log = async () =>
  (await tenant(unit => models.switches.switches(unit, { model: 'm', limit: 100 }))).data.map(
    row => `${row.kind} ${row.from}→${row.to} ${row.outcome}`,
  )

test('every switch stands in the log, with who made it, what served before and what since', async () => {
  await flip(1)
  await flip(2)
  const refused = { change: { kind: 'flip' as const, model: 'm', alias: 'champion', version: 3 } }
  clock.forward(1_000)
  await tenant(unit =>
    models.aliases.refuse(unit, call(), {
      ...refused,
      alias: 'champion',
      from: 2,
      to: 3,
      reason: 'its weights are gone',
    }),
  )
  expect(await log()).toEqual(['flip 2→3 refused', 'flip 1→2 done', 'flip 3→1 done'])
  const { data } = await tenant(unit => models.switches.switches(unit, { model: 'm', limit: 1 }))
  expect(data[0]).toMatchObject({ actor: keyId, reason: 'its weights are gone', dropped: null })
})

test('a way back goes one version further each time, past other ways back, and ends where nothing served before', async () => {
  await flip(1)
  await flip(2)
  await flip(3)
  await flip(3)
  expect((await rollback()).switch).toMatchObject({ from: 3, to: 2 })
  expect((await rollback()).switch).toMatchObject({ from: 2, to: 1 })
  // The newest served by default before the alias was set.
  expect((await rollback()).switch).toMatchObject({ from: 1, to: 3 })
})

test('without an alias there is no way back', async () => {
  await expect(rollback()).rejects.toMatchObject({ code: 'conflict' })
})

test('what is seen of a switch is told once', async () => {
  const { switch: made } = await flip(1)
  const seen = { answered_from: 3, answered_to: 4, dropped: 0, mixed: 0 }
  await tenant(unit => models.switches.observed(unit, made.id, seen))
  await tenant(unit => models.switches.observed(unit, made.id, { ...seen, dropped: 9 }))
  const { data } = await tenant(unit => models.switches.switches(unit, { model: 'm', limit: 1 }))
  expect(data[0]).toMatchObject(seen)
})

test('a rollout runs under the alias alone, is changed in place, and ends when it is promoted', async () => {
  await flip(1)
  const { id } = await begin(2)
  expect((await begin(2, { percent: 50 })).id).toBe(id)
  expect(await served()).toMatchObject({
    model: { version: 1 },
    rollout: { id, percent: 50, candidate: { version: 2 } },
  })
  const byNumber = await tenant(unit => models.resolveServed(unit, 'm', '1'))
  expect(byNumber.rollout).toBeNull()
  expect((await promote()).switch).toMatchObject({ kind: 'promote', from: 1, to: 2 })
  expect(await served()).toMatchObject({ model: { version: 2 }, rollout: null })
  await expect(promote()).rejects.toMatchObject({ code: 'conflict' })
  expect((await rollback()).switch).toMatchObject({ from: 2, to: 1 })
})

test('a guard that is broken takes the candidate back, says why, and leaves nothing to promote', async () => {
  await flip(1)
  const { id } = await begin(2)
  const seen = {
    ...emptyReport(),
    stable: { ...emptySide(), requests: 20 },
    candidate: { ...emptySide(), requests: 20, errors: 1 },
  }
  const observe = (errors: number) => {
    clock.forward(1_000)
    const told = { ...seen, candidate: { ...seen.candidate, errors } }
    return tenant(unit => models.rollouts.observe(unit, tenantId, { id, seen: told }))
  }
  expect(await observe(1)).toBe(true)
  expect(await observe(12)).toBe(false)
  expect(await observe(0)).toBe(false)
  const ended = await tenant(unit => models.rollouts.get(unit, { model: 'm' }))
  expect(ended).toMatchObject({ state: 'rolled_back', reason: expect.stringContaining('failed') })
  expect(ended.report.candidate.requests).toBe(40)
  const { data } = await tenant(unit => models.switches.switches(unit, { model: 'm', limit: 1 }))
  expect(data[0]).toMatchObject({ kind: 'rollback', from: 2, to: 1, actor: 'galley' })
  await expect(promote()).rejects.toMatchObject({ code: 'conflict' })
  expect((await served()).rollout).toBeNull()
})

test('a promotion and a broken guard at once: one of them holds, and the alias follows it', async () => {
  for (let round = 0; round < 10; round++) {
    await flip(1)
    const { id } = await begin(2)
    const failed = { ...emptyReport(), candidate: { ...emptySide(), requests: 10, errors: 10 } }
    const [promoted] = await Promise.allSettled([
      promote(),
      tenant(unit => models.rollouts.observe(unit, tenantId, { id, seen: failed })),
    ])
    const { state } = await tenant(unit => models.rollouts.get(unit, { model: 'm' }))
    const { model } = await served()
    if (promoted.status === 'fulfilled') expect([state, model.version]).toEqual(['promoted', 2])
    else expect([state, model.version]).toEqual(['rolled_back', 1])
  }
})

test('moving or removing the alias ends its rollout; another alias leaves it', async () => {
  await flip(1)
  await begin(2)
  await tenant(unit =>
    models.aliases.setAlias(unit, call(), { model: 'm', alias: 'other', version: 3 }),
  )
  expect((await served()).rollout).not.toBeNull()
  await flip(3)
  expect((await served()).rollout).toBeNull()
  await begin(2, { mode: 'shadow' })
  await tenant(unit => models.aliases.removeAlias(unit, call(), { model: 'm', alias: 'champion' }))
  const { state } = await tenant(unit => models.rollouts.get(unit, { model: 'm' }))
  expect(state).toBe('replaced')
})

test('a version that is tried cannot be deleted; one that serves already, or is not ready, cannot be tried', async () => {
  await flip(1)
  await begin(2)
  const remove = () => tenant(unit => models.remove(unit, call(), { model: 'm', version: '2' }))
  await expect(remove()).rejects.toMatchObject({ code: 'in_use' })
  await rollback()
  await remove()
  await expect(begin(2)).rejects.toMatchObject({ code: 'conflict' })
  await expect(begin(1)).rejects.toMatchObject({ code: 'conflict' })
})

test('another tenant’s rollout is not there', async () => {
  await flip(1)
  const { id } = await begin(2)
  const other = await newTenant(db)
  const seen = { ...emptyReport(), candidate: { ...emptySide(), requests: 10, errors: 10 } }
  const observe = (unit: Unit) => models.rollouts.observe(unit, other.tenantId, { id, seen })
  expect(await inTenant({ db, clock }, other.tenantId, observe)).toBe(false)
  expect((await served()).rollout).not.toBeNull()
})
