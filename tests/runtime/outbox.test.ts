/** The outbox: sent if, and only if, the transaction commits, and at least once whenever the relay dies. */
import fc from 'fast-check'
import type pg from 'pg'
import { afterAll, beforeEach, expect, test } from 'vitest'
import type { Queue } from '#core/deps.ts'
import * as outbox from '#core/outbox.ts'
import { connectionOf } from '#platform/db/postgres.ts'
import { postgresQueue } from '#platform/queue/postgres.ts'
import { newId } from '#schemas/ids.ts'
import type { QueueName } from '#schemas/queues.ts'
import { inTenant } from '#tests/caller.ts'
import { testDatabase } from '#tests/database.ts'

const { db, admin, url } = await testDatabase()
const queue = postgresQueue({ pool: db.pool, listen: connectionOf(url) as pg.ClientConfig })
afterAll(() => queue.close())
beforeEach(() => admin.query('truncate outbox, queue_messages'))

const delivered = async () =>
  (await admin.query('select body, queue from queue_messages order by id')).rows.map(row => ({
    ...JSON.parse(row.body),
    queue: row.queue,
  }))

/** Sends, and then does not come back to say so. */
const forgetful: Queue = {
  ...queue,
  async send(name, messages) {
    await queue.send(name, messages)
    throw new Error('died after sending')
  },
}
const dead: Queue = { ...queue, send: () => Promise.reject(new Error('died before sending')) }

type Work = { messages: number; commits: boolean }
const works = fc.array(fc.record({ messages: fc.nat(4), commits: fc.boolean() }), { maxLength: 6 })
const relays = fc.array(fc.constantFrom('well', 'dies before', 'dies after', 'two at once'), {
  maxLength: 5,
})

async function promiseAll(tenantId: ReturnType<typeof newId<'tenant'>>, work: Work[]) {
  const committed: string[] = []
  for (const [w, { messages, commits }] of work.entries()) {
    const bodies = Array.from({ length: messages }, (_, i) => `${w}.${i}`)
    const promising = inTenant({ db }, tenantId, async unit => {
      const queueOf = (i: number): QueueName => (i % 2 ? 'work' : 'validate')
      await outbox.promise(
        unit,
        tenantId,
        bodies.map((id, i) => ({ queue: queueOf(i), body: { id } })),
      )
      if (!commits) throw new Error('rolled back')
    })
    if (commits) {
      await promising
      committed.push(...bodies)
    } else await expect(promising).rejects.toThrow('rolled back')
  }
  return committed
}

test('what committed is delivered at least once, what did not never, wherever the relay dies', async () => {
  await fc.assert(
    fc.asyncProperty(works, relays, async (work, turns) => {
      await admin.query('truncate outbox, queue_messages')
      const tenantId = newId('tenant')
      const committed = await promiseAll(tenantId, work)
      for (const turn of turns) {
        if (turn === 'well') await outbox.relay({ db, queue })
        else if (turn === 'two at once') {
          await Promise.all([outbox.relay({ db, queue }), outbox.relay({ db, queue })])
        } else {
          const broken = turn === 'dies after' ? forgetful : dead
          await outbox.relay({ db, queue: broken }).catch(() => {})
        }
      }
      while ((await outbox.relay({ db, queue })) > 0);
      const seen = await delivered()
      expect(new Set(seen.map(one => one.id))).toEqual(new Set(committed))
      for (const one of seen) expect(one.tenantId).toBe(tenantId)
      if (turns.every(turn => turn === 'well' || turn === 'two at once')) {
        expect(seen).toHaveLength(committed.length)
      }
      expect((await admin.query('select 1 from outbox')).rowCount).toBe(0)
    }),
    { numRuns: 30 },
  )
})

test('a message keeps its queue and its delay', async () => {
  const tenantId = newId('tenant')
  await inTenant({ db }, tenantId, unit =>
    outbox.promise(unit, tenantId, [
      { queue: 'work', body: { id: 'now' } },
      { queue: 'work', body: { id: 'later' }, delayS: 600 },
    ]),
  )
  await outbox.relay({ db, queue })
  const received = await queue.receive('work', { max: 10, waitS: 0 })
  expect(received.map(message => JSON.parse(message.body).id)).toEqual(['now'])
  const { rows } = await admin.query(
    `select visible_at > now() + interval '9 minutes' as later from queue_messages`,
  )
  expect(rows.map(row => row.later).sort()).toEqual([false, true])
})

test('more messages than one batch holds all leave, oldest first', async () => {
  const tenantId = newId('tenant')
  const ids = Array.from({ length: 1_200 }, (_, i) => String(i))
  await inTenant({ db }, tenantId, unit =>
    outbox.promise(
      unit,
      tenantId,
      ids.map(id => ({ queue: 'work' as const, body: { id } })),
    ),
  )
  const counts: number[] = []
  for (let sent = -1; sent !== 0; counts.push(sent)) sent = await outbox.relay({ db, queue })
  expect(counts).toEqual([500, 500, 200, 0])
  expect((await delivered()).map(one => one.id)).toEqual(ids)
})

test('a message for a queue that only a newer version knows stays for that version', async () => {
  const tenantId = newId('tenant')
  await admin.query(
    `insert into outbox (tenant_id, queue, body) values ($1, 'of tomorrow', '{}')`,
    [tenantId],
  )
  await inTenant({ db }, tenantId, unit =>
    outbox.promise(unit, tenantId, [{ queue: 'work', body: { id: 'of today' } }]),
  )
  expect(await outbox.relay({ db, queue })).toBe(1)
  expect((await delivered()).map(one => one.id)).toEqual(['of today'])
  expect((await admin.query('select queue from outbox')).rows).toEqual([{ queue: 'of tomorrow' }])
})
