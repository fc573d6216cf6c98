/** What every queue promises, whatever engine is below. */
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { Message, Queue } from '#core/deps.ts'
import { BODY_BYTES_MAX } from '#platform/queue/message.ts'
import { QUEUES, type QueueName } from '#schemas/queues.ts'
import type { QueueFlags } from './engines.ts'
import { followsTheModel } from './queue-model.ts'

const NOW = { max: 10, waitS: 0 }
const SOON = { max: 10, waitS: 5 }

export type QueueDriver = {
  name: string
  flags: QueueFlags
  /** A queue with no messages in it. */
  fresh(): Promise<{ queue: Queue; close(): Promise<void> }>
}

export function queueSuite(driver: QueueDriver): void {
  describe(`queue on ${driver.name}`, () => {
    let queue: Queue
    let close: () => Promise<void>
    beforeEach(async () => {
      const opened = await driver.fresh()
      queue = opened.queue
      close = opened.close
    })
    afterEach(() => close())

    nothingIsLost(() => queue, driver.flags)
    oneReaderAtATime(() => queue, driver.flags)
    waiting(() => queue, driver.flags)
    refusals(() => queue)
  })
}

function nothingIsLost(q: () => Queue, flags: QueueFlags): void {
  test('every message of many calls and sizes arrives once and unchanged', async () => {
    const text = flags.takesAllOfUnicode ? 'é漢😀\n' : 'é漢\n'
    const bodies = Array.from({ length: 300 }, (_, i) => `${i} ${text.repeat(i % 50)}`)
    const calls = [bodies.slice(0, 1), bodies.slice(1, 4), bodies.slice(4, 150)]
    const single = bodies.slice(150).map(body => [body])
    await Promise.all(
      [...calls, ...single].map(c =>
        q().send(
          'work',
          c.map(body => ({ body })),
        ),
      ),
    )
    expect((await drain(q())).sort()).toEqual(bodies.sort())
  })

  test('bodies of the greatest size arrive, many in one call', async () => {
    const bodies = ['a', 'b', 'c'].map(letter => letter.repeat(BODY_BYTES_MAX))
    await q().send(
      'work',
      bodies.map(body => ({ body })),
    )
    const arrived = await drain(q())
    expect(arrived.map(b => `${b[0]} ${b.length}`).sort()).toEqual(
      bodies.map(b => `${b[0]} ${b.length}`),
    )
  })

  test('a body of a megabyte comes back byte for byte, and one that looks like a pointer as it is', async () => {
    const large = 'é"\\\n漢 '.repeat(120_000)
    const key = 'messages/work/00000000-0000-0000-0000-000000000000'
    const alike = JSON.stringify({ key, size: 1, sha256: '0'.repeat(64) })
    await q().send('work', [{ body: large }, { body: alike }, { body: 'small' }])
    const bodies = await drain(q())
    expect(bodies.length).toBe(3)
    expect(new Set(bodies)).toEqual(new Set([large, alike, 'small']))
  })

  test('a message whose reader died is received again, counted', async () => {
    await q().send('work', [{ body: 'x' }])
    const first = await one(q(), { ...SOON, visibilityS: 1 })
    const second = await one(q(), SOON)
    expect([first.receiveCount, second.receiveCount]).toEqual([1, 2])
    expect(second).toMatchObject({ id: first.id, body: 'x' })
  })

  test('a poisonous message ends in the dead-letter queue and stays out of the way', async () => {
    await q().send('validate', [{ body: 'poison' }])
    for (let count = 1; count <= QUEUES.validate.receiveCountMax; count++) {
      const message = await one(q(), SOON, 'validate')
      expect(message.receiveCount).toBe(count)
      expect(await q().extend('validate', message.receipt, 0)).toBe(true)
    }
    await q().send('validate', [{ body: 'wholesome' }])
    expect((await one(q(), SOON, 'validate')).body).toBe('wholesome')
    expect(await q().receive('validate', NOW)).toEqual([])
    expect(await q().dead('validate')).toBe(1)
    expect(await q().dead('work')).toBe(0)
  })

  test('dead messages come back to their own queue as if they were new, up to so many', async () => {
    const bodies = ['a', 'b', 'c']
    await q().send(
      'validate',
      bodies.map(body => ({ body })),
    )
    for (let count = 1; count <= QUEUES.validate.receiveCountMax; count++) {
      for (const { receipt } of await receiveAll(q(), 3, 'validate')) {
        await q().extend('validate', receipt, 0)
      }
    }
    expect(await q().receive('validate', NOW)).toEqual([])
    expect(await q().dead('validate')).toBe(3)
    expect(await q().redrive('work', 10)).toBe(0)
    expect(await q().redrive('validate', 2)).toBe(2)
    expect(await q().dead('validate')).toBe(1)
    const back = await receiveAll(q(), 2, 'validate')
    await q().delete(
      'validate',
      back.map(m => m.receipt),
    )
    expect(await q().receive('validate', NOW)).toEqual([])
    expect(await q().redrive('validate', 1_000)).toBe(1)
    back.push(await one(q(), SOON, 'validate'))
    expect(back.map(m => m.body).sort()).toEqual(bodies)
    expect(back.map(m => m.receiveCount)).toEqual([1, 1, 1])
    expect(await q().redrive('validate', 1)).toBe(0)
    for (const max of [0, 1.5, 1_001]) {
      const asked = q().redrive('validate', max)
      await expect(asked).rejects.toMatchObject({ code: 'invalid_request' })
    }
  })

  test('queues do not mix, and a receipt counts in its own queue alone', async () => {
    await q().send('work', [{ body: 'w' }])
    expect(await q().receive('validate', NOW)).toEqual([])
    const message = await one(q(), { ...SOON, visibilityS: 1 })
    await q()
      .delete('validate', [message.receipt])
      .catch(() => {})
    expect((await one(q(), SOON)).body).toBe('w')
  })
}

function oneReaderAtATime(q: () => Queue, flags: QueueFlags): void {
  test('a message in flight is hidden, and an extension keeps it so', async () => {
    await q().send('work', [{ body: 'x' }])
    const { receipt } = await one(q(), { ...SOON, visibilityS: 1 })
    expect(await q().receive('work', NOW)).toEqual([])
    expect(await q().extend('work', receipt, 30)).toBe(true)
    expect(await q().receive('work', { max: 10, waitS: 2 })).toEqual([])
  })

  test.runIf(flags.forgetsOldReceipts)('an old receipt neither deletes nor extends', async () => {
    await q().send('work', [{ body: 'x' }])
    const old = await one(q(), SOON)
    await q().extend('work', old.receipt, 0)
    const young = await one(q(), SOON)
    await q().delete('work', [old.receipt])
    expect(await q().extend('work', old.receipt, 0)).toBe(false)
    expect(await q().receive('work', NOW)).toEqual([])
    expect(await q().extend('work', young.receipt, 0)).toBe(true)
    expect((await one(q(), SOON)).body).toBe('x')
  })

  test('deleting is for good and may be repeated; unknown receipts disturb nothing', async () => {
    await q().send('work', [{ body: 'x' }, { body: 'y' }])
    const messages = await receiveAll(q(), 2)
    const receipts = messages.map(m => m.receipt)
    await q().delete('work', [receipts[0]!, 'nonsense', receipts[1]!])
    await q().delete('work', receipts)
    await q().delete('work', [])
    expect(await q().extend('work', receipts[0]!, 0)).toBe(false)
    expect(await q().receive('work', NOW)).toEqual([])
  })

  test('a receive gives no more than was asked for', async () => {
    await q().send(
      'work',
      Array.from({ length: 30 }, (_, i) => ({ body: `${i}` })),
    )
    for (const max of [1, 3, 10]) {
      const messages = await q().receive('work', { max, waitS: 1 })
      expect(messages.length).toBeGreaterThan(0)
      expect(messages.length).toBeLessThanOrEqual(max)
    }
  })

  test('any order of sending, receiving, giving back and deleting follows the model', async () => {
    await fc.assert(followsTheModel(q, flags), { numRuns: 15 })
  })

  test.runIf(flags.givesToOneReader)(
    'eight readers at once never hold the same message, and lose none',
    async () => {
      const bodies = Array.from({ length: 300 }, (_, i) => `m${i}`)
      await q().send(
        'work',
        bodies.map(body => ({ body })),
      )
      const held = new Set<string>()
      const done: string[] = []
      const reader = async (seed: number) => {
        for (let turn = seed; done.length < bodies.length; turn++) {
          for (const m of await q().receive('work', { max: 1 + (turn % 10), waitS: 0 })) {
            expect(held.has(m.id), 'two readers hold one message').toBe(false)
            held.add(m.id)
            await Promise.resolve()
            held.delete(m.id)
            if ((turn + Number(m.receiveCount)) % 4 === 0) {
              await q().extend('work', m.receipt, 0)
            } else {
              await q().delete('work', [m.receipt])
              done.push(m.body)
            }
          }
        }
      }
      await Promise.all(Array.from({ length: 8 }, (_, seed) => reader(seed)))
      expect(done.sort()).toEqual(bodies.sort())
    },
  )
}

function waiting(q: () => Queue, flags: QueueFlags): void {
  test('a delayed message arrives after its delay and not before', async () => {
    await q().send('work', [{ body: 'later', delayS: 1 }, { body: 'now' }])
    expect((await one(q(), SOON)).body).toBe('now')
    expect(await q().receive('work', NOW)).toEqual([])
    expect((await one(q(), SOON)).body).toBe('later')
  })

  // The limit of the whole test is far below these waits: who does not wake early fails it.
  test('a receive that waits returns when a message arrives', async () => {
    const waiting = q().receive('work', { max: 1, waitS: 20 })
    await settle()
    await q().send('work', [{ body: 'x' }])
    expect((await waiting).map(m => m.body)).toEqual(['x'])
  })

  test('a receive that waits returns when a message is given back', async () => {
    await q().send('work', [{ body: 'x' }])
    const { receipt } = await one(q(), SOON)
    const waiting = q().receive('work', { max: 1, waitS: 20 })
    await settle()
    await q().extend('work', receipt, 0)
    expect((await waiting).map(m => m.body)).toEqual(['x'])
  })

  test('a receive that waits returns with nothing when its caller leaves', async () => {
    const leave = new AbortController()
    const waiting = q().receive('work', { max: 1, waitS: 20, signal: leave.signal })
    await settle()
    leave.abort()
    expect(await waiting).toEqual([])
    expect(await q().receive('work', { max: 1, waitS: 20, signal: leave.signal })).toEqual([])
  })

  test.runIf(flags.departsCleanly)('who left takes no message with him', async () => {
    const leave = new AbortController()
    const gone = q().receive('work', { max: 10, waitS: 20, signal: leave.signal })
    await settle()
    leave.abort()
    await gone
    await q().send('work', [{ body: 'x' }])
    expect((await one(q(), SOON)).body).toBe('x')
  })
}

function refusals(q: () => Queue): void {
  const refused = [
    ['payload_too_large', { body: 'é'.repeat(BODY_BYTES_MAX / 2 + 1) }],
    ['invalid_request', { body: '' }],
    ['invalid_request', { body: 'a\u0000b' }],
    ['invalid_request', { body: 'half a pair \ud83d' }],
    ['invalid_request', { body: 'x', delayS: 901 }],
    ['invalid_request', { body: 'x', delayS: Number.NaN }],
  ] as const
  test('a message that some engine cannot hold is refused, and its call stores nothing', async () => {
    for (const [code, message] of refused) {
      await expect(q().send('work', [{ body: 'fine' }, message])).rejects.toMatchObject({ code })
    }
    expect(await q().receive('work', NOW)).toEqual([])
  })

  test('a receive of no or too many messages is refused', async () => {
    for (const max of [0, 11, 1.5]) {
      const asked = q().receive('work', { max, waitS: 0 })
      await expect(asked).rejects.toMatchObject({ code: 'invalid_request' })
    }
  })
}

async function one(
  queue: Queue,
  options: typeof SOON & { visibilityS?: number },
  name: 'work' | 'validate' = 'work',
) {
  const messages = await queue.receive(name, options)
  expect(messages).toHaveLength(1)
  return messages[0]!
}

export async function receiveAll(
  queue: Queue,
  count: number,
  name: QueueName = 'work',
): Promise<Message[]> {
  const messages: Message[] = []
  while (messages.length < count) messages.push(...(await queue.receive(name, SOON)))
  return messages
}

/** Receives and deletes until nothing comes any more; the bodies. */
export async function drain(queue: Queue): Promise<string[]> {
  const bodies: string[] = []
  for (;;) {
    const messages = await queue.receive('work', { max: 10, waitS: 0 })
    if (messages.length === 0) return bodies
    bodies.push(...messages.map(m => m.body))
    await queue.delete(
      'work',
      messages.map(m => m.receipt),
    )
  }
}

/** Long enough for a receive to be waiting; if it is not yet, the tests that use this still hold. */
export function settle(): Promise<void> {
  return new Promise(resolve => setTimeout(resolve, 150))
}
