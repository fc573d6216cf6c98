/** What must happen although no message says so, and must not happen too often either. */
import { expect, test } from 'vitest'
import * as jobs from '#core/jobs/jobs.ts'
import { sweep } from '#functions/sweep.ts'
import { callOf, handClock, inTenant, newTenant } from '#tests/caller.ts'
import { testDatabase } from '#tests/database.ts'

const { db, admin } = await testDatabase()
const { tenantId } = await newTenant(db)
const SPEC = {
  model: 'm',
  version: 1,
  digest: 'd'.repeat(64),
  input: { sha256: 'e'.repeat(64), size: 100, format: 'jsonl' as const },
}

/** There are no events to place. */
const features = {
  partitionsPerObject: 1024,
  applyAt: () => Promise.reject(new Error('nothing is to be placed')),
  group: (): never => {
    throw new Error('nothing is placed here')
  },
}

test('a step that waits behind others is asked for ever more rarely, and never forgotten', async () => {
  const clock = handClock()
  await inTenant({ db, clock }, tenantId, unit =>
    jobs.start(unit, callOf(tenantId), {
      kind: 'inference',
      first: 'plan',
      spec: SPEC,
      expiresInS: 7 * 86_400,
    }),
  )
  await admin.query('delete from outbox')
  for (let minute = 0; minute < 24 * 60; minute += 5) {
    clock.forward(5 * 60_000)
    await jobs.sweep.requeueSilentSteps({ db, clock })
  }
  const { rows } = await admin.query('select 1 from outbox')
  expect(rows.length).toBeGreaterThanOrEqual(24)
  expect(rows.length).toBeLessThanOrEqual(48)
})

test('a sweep that fails is logged and keeps none of the others from theirs', async () => {
  const clock = handClock()
  const { id } = await inTenant({ db, clock }, tenantId, unit =>
    jobs.start(unit, callOf(tenantId), {
      kind: 'inference',
      first: 'plan',
      spec: SPEC,
      expiresInS: 60,
    }),
  )
  await admin.query(
    `insert into idempotency (tenant_id, route, key, fingerprint, status, reply, created_at)
     values ($1, 'r', 'k', 'f', 'done', '{}', now() - interval '2 days')`,
    [tenantId],
  )
  clock.forward(61_000)
  await admin.query(`alter table runs add constraint planted check (state <> 'expired') not valid`)
  const failures: unknown[] = []
  const log = { info() {}, error: (_: string, fields?: object) => failures.push(fields) }
  await sweep({ db, clock, log, features })
  expect(failures).toEqual([expect.objectContaining({ sweep: 'expire_runs' })])
  expect((await admin.query('select 1 from idempotency')).rowCount).toBe(0)
  await admin.query('alter table runs drop constraint planted')
  await sweep({ db, clock, log, features })
  const { rows } = await admin.query('select state from runs where id = $1', [id])
  expect(rows).toEqual([{ state: 'expired' }])
})
