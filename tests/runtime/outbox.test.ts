/** The outbox: sent if, and only if, the transaction commits, and at least once whenever the relay dies. */
import fc from 'fast-check'
import type pg from 'pg'
import { afterAll, beforeEach, expect, test } from 'vitest'
import type { Queue } from '#core/deps.ts'
import { PartlyDone } from '#core/error.ts'
import * as outbox from '#core/outbox.ts'
import { openRelay } from '#functions/invocation/relay.ts'
import { connectionOf } from '#platform/db/postgres.ts'
import { postgresQueue } from '#platform/queue/postgres.ts'
import { newId } from '#schemas/ids.ts'
import type { QueueName } from '#schemas/queues.ts'
import { inTenant, systemClock } from '#tests/caller.ts'
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

test('what a traced request promises has its trace, on the queue as in the outbox, and nothing else has one', async () => {
  const tenantId = newId('tenant')
  const trace = { traceId: 'a'.repeat(32), spanId: 'b'.repeat(16), state: 'v=1' }
  await inTenant({ db }, tenantId, async unit => {
    await outbox.promise({ ...unit, trace }, tenantId, [{ queue: 'work', body: { id: 'traced' } }])
    await outbox.promise(unit, tenantId, [{ queue: 'work', body: { id: 'other' } }])
  })
  await outbox.relay({ db, queue })
  expect(await delivered()).toEqual([
    { tenantId, id: 'traced', trace, queue: 'work' },
    { tenantId, id: 'other', queue: 'work' },
  ])
})

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
const turns = ['well', 'dies before', 'dies after', 'two at once', 'some', 'some and all'] as const
const relays = fc.array(fc.constantFrom(...turns), { maxLength: 5 })
const someIds = async () =>
  (await admin.query('select id from outbox where id % 2 = 0')).rows.map(({ id }) => BigInt(id))

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
        } else if (turn === 'some') await outbox.relay({ db, queue }, await someIds())
        else if (turn === 'some and all') {
          const own = await someIds()
          await Promise.all([outbox.relay({ db, queue }, own), outbox.relay({ db, queue })])
        } else {
          const broken = turn === 'dies after' ? forgetful : dead
          await outbox.relay({ db, queue: broken }).catch(() => {})
        }
      }
      while ((await outbox.relay({ db, queue })) > 0);
      const seen = await delivered()
      expect(new Set(seen.map(one => one.id))).toEqual(new Set(committed))
      for (const one of seen) expect(one.tenantId).toBe(tenantId)
      if (!turns.some(turn => turn.startsWith('dies'))) {
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

test('what a queue took is not sent again because it did not take all, and what it refused is kept', async () => {
  const tenantId = newId('tenant')
  const bodies = Array.from({ length: 6 }, (_, i) => ({
    queue: 'work' as const,
    body: { id: String(i) },
  }))
  await inTenant({ db }, tenantId, unit => outbox.promise(unit, tenantId, bodies))
  const picky: Queue = {
    ...queue,
    async send(name, messages) {
      const isTaken = ({ body }: { body: string }) => Number(JSON.parse(body).id) % 2 === 0
      await queue.send(name, messages.filter(isTaken))
      const refused = messages.flatMap((message, at) => (isTaken(message) ? [] : [at]))
      if (refused.length === messages.length) throw new Error('none of these')
      throw new PartlyDone(new Error('not the odd ones'), new Set(refused))
    },
  }
  expect(await outbox.relay({ db, queue: picky })).toBe(3)
  await expect(outbox.relay({ db, queue: picky })).rejects.toThrow('none of these')
  expect((await delivered()).map(({ id }) => id)).toEqual(['0', '2', '4'])
  expect(await outbox.relay({ db, queue })).toBe(3)
  expect((await delivered()).map(({ id }) => id)).toEqual(['0', '2', '4', '1', '3', '5'])
})

test('a queue that takes nothing, with more waiting for it than is sent at once, holds up no other', async () => {
  const tenantId = newId('tenant')
  await backlog()
  await inTenant({ db }, tenantId, unit =>
    outbox.promise(unit, tenantId, [{ queue: 'validate', body: { id: 'of another queue' } }]),
  )
  const closed: Queue = {
    ...queue,
    async send(name, messages) {
      if (name === 'work') throw new Error('the role may not send')
      return queue.send(name, messages)
    },
  }
  expect(await outbox.relay({ db, queue: closed })).toBe(1)
  expect((await delivered()).map(({ id }) => id)).toEqual(['of another queue'])
  await expect(outbox.relay({ db, queue: closed })).rejects.toThrow('the role may not send')
  expect(await left()).toBe(BACKLOG)
})

/** What a reply waits for, as the control API of a cloud does it. */
async function replied(
  tenantId: ReturnType<typeof newId<'tenant'>>,
  bodies: string[],
  relay: ReturnType<typeof openRelay>,
) {
  const promised: bigint[] = []
  await db.tenant(tenantId, tx =>
    outbox.promise(
      { tx, clock: systemClock, promised },
      tenantId,
      bodies.map(id => ({ queue: 'work' as const, body: { id } })),
    ),
  )
  relay.promised(promised)
  await relay.settled()
}

const log = { info() {}, error() {} }
const BACKLOG = 20_000
const backlog = () =>
  admin.query(
    `insert into outbox (tenant_id, queue, body)
     select 'ten_' || n % 7, 'work', jsonb_build_object('id', n) from generate_series(1, $1) as n`,
    [BACKLOG],
  )
const left = async () =>
  (await admin.query('select count(*)::int as n from outbox')).rows[0].n as number

test('a reply sends what its own transaction promised, and leaves a backlog of others where it is', async () => {
  const tenantId = newId('tenant')
  await backlog()
  let sends = 0
  const counted: Queue = {
    ...queue,
    send(name, messages) {
      sends += messages.length
      return queue.send(name, messages)
    },
  }
  const relay = openRelay({ db, queue: counted, log })
  await replied(tenantId, ['first', 'second'], relay)
  expect((await delivered()).map(({ id }) => id)).toEqual(['first', 'second'])
  expect([sends, await left()]).toEqual([2, BACKLOG])
  await replied(tenantId, [], relay)
  await replied(tenantId, ['third'], relay)
  expect([sends, await left()]).toEqual([3, BACKLOG])
  while ((await outbox.relay({ db, queue: counted })) > 0);
  expect([sends, await left()]).toEqual([3 + BACKLOG, 0])
  const ids = new Set((await delivered()).map(({ id }) => id))
  expect(ids.size).toBe(3 + BACKLOG)
})

test('of very many own messages a reply waits for one batch, and the schedule sends the others', async () => {
  const bodies = Array.from({ length: 1_300 }, (_, i) => String(i))
  await replied(newId('tenant'), bodies, openRelay({ db, queue, log }))
  expect((await delivered()).map(({ id }) => id)).toEqual(bodies.slice(0, 500))
  while ((await outbox.relay({ db, queue })) > 0);
  expect((await delivered()).map(({ id }) => id)).toEqual(bodies)
})

test('a queue that fails or does not answer holds no reply up, and loses nothing', async () => {
  const tenantId = newId('tenant')
  await replied(tenantId, ['refused'], openRelay({ db, queue: dead, log }))
  let answer = () => {}
  const silent: Queue = {
    ...queue,
    async send(name, messages) {
      await new Promise<void>(resolve => {
        answer = resolve
      })
      return queue.send(name, messages)
    },
  }
  const relay = openRelay({ db, queue: silent, log }, 50)
  await replied(tenantId, ['unheard'], relay)
  // The next reply does not wait for what the one before it has given up.
  await replied(tenantId, [], relay)
  expect(await delivered()).toEqual([])
  expect(await left()).toBe(2)
  expect(await outbox.relay({ db, queue })).toBe(1)
  answer()
  while ((await left()) > 0) await outbox.relay({ db, queue })
  expect((await delivered()).map(({ id }) => id).sort()).toEqual(['refused', 'unheard'])
})
