/** The router: every request gets one answer, whatever becomes of the runners and of the callers. */
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import type { AppError } from '#core/error.ts'
import { placeKey } from '#core/internal/signing.ts'
import { FRAME } from '#gpu-runners/online/frames.ts'
import { digestMark, readInfer, replyHead, type Shared } from '#gpu-runners/online/messages.ts'
import { fromJsonPart, jsonPart, openChannel } from '#platform/channel/channel.ts'
import {
  ask,
  caller,
  callFor,
  connect,
  dial,
  helloOf,
  newRouter,
  SECRET,
  until,
} from './routing/scene.ts'

test('concurrent callers each get their own answer, in whatever order the runner gives them', async () => {
  const router = newRouter()
  const runner = await dial(router, 'a')
  const answers = Promise.all(Array.from({ length: 100 }, (_, i) => ask(router, String(i))))
  await until(() => runner.asked.length === 100)
  runner.asked.reverse()
  runner.answerAll()
  expect(await answers).toEqual(Array.from({ length: 100 }, (_, i) => `a did ${i}`))
})

test('a lost runner’s requests are answered by the next, under the same request ids', async () => {
  const router = newRouter()
  const first = await dial(router, 'a')
  const [answered, ...others] = ['1', '2', '3'].map(body => ask(router, body))
  await until(() => first.asked.length === 3)
  first.answer(first.asked[0]!)
  expect(await answered).toBe('a did 1')
  first.die()
  const second = await dial(router, 'b')
  second.answerAll()
  expect(await Promise.all(others)).toEqual(['b did 2', 'b did 3'])
  const ids = first.asked.slice(1).map(one => one.requestId)
  expect(new Set(ids).size).toBe(2)
})

test('the receipts of a lost runner that the ledger may not have are shipped from the router’s copies, the others are not', async () => {
  const router = newRouter()
  const runner = await dial(router, 'a')
  runner.answerAll()
  for (const body of ['1', '2', '3']) await ask(router, body)
  runner.shipped(2)
  await ask(router, '4')
  runner.die()
  await until(() => router.shipped.length > 0)
  const [lines] = router.shipped
  expect(lines!.slice(1).map(line => (line as unknown[])[1])).toEqual(['rcp_3', 'rcp_4'])
  expect(lines![0]).toMatchObject({
    context: 0,
    is: { tenantId: caller.caller.tenantId, model: 'm', kind: 'online' },
  })
})

test('a runner that has the model warm is asked before one that has not', async () => {
  const router = newRouter()
  const cold = await dial(router, 'cold')
  const warm = await dial(router, 'warm', ['d2'])
  for (const runner of [cold, warm]) runner.answerAll()
  expect(await ask(router, 'x', { digest: 'd2' })).toBe('warm did x')
})

test('a runner that drains gets nothing new and finishes what it has', async () => {
  const router = newRouter()
  const leaving = await dial(router, 'leaving')
  const begun = ask(router, '1')
  await until(() => leaving.asked.length === 1)
  leaving.channel.send(FRAME.drain, 0, [])
  await until(async () => !(await router.router.ready()))
  const next = ask(router, '2')
  const staying = await dial(router, 'staying')
  staying.answerAll()
  expect(await next).toBe('staying did 2')
  leaving.answerAll()
  expect(await begun).toBe('leaving did 1')
})

test('an error of the runner reaches the caller with its code and text', async () => {
  const router = newRouter()
  const runner = await dial(router, 'a')
  const asking = ask(router, '1')
  await until(() => runner.asked.length === 1)
  runner.refuseAll({ code: 'overloaded', public: 'The queue is full.', retryAfterS: 3 })
  await expect(asking).rejects.toMatchObject({
    code: 'overloaded',
    public: 'The queue is full.',
    retryAfterS: 3,
  })
})

describe('deadlines and departures', () => {
  test('a request whose deadline has passed is not sent to a runner', async () => {
    const router = newRouter()
    const runner = await dial(router, 'a')
    await expect(ask(router, '1', { deadlineMs: -1 })).rejects.toMatchObject({
      code: 'deadline_exceeded',
    })
    expect(runner.asked).toEqual([])
  })

  test('a request that a runner keeps past its deadline is answered with 504, and the runner told to drop it', async () => {
    const router = newRouter()
    const runner = await dial(router, 'hangs')
    await until(() => router.router.ready())
    await expect(ask(router, '1', { deadlineMs: 50 })).rejects.toMatchObject({
      code: 'deadline_exceeded',
      status: 504,
    })
    await until(() => runner.canceled.length === 1)
    expect(runner.canceled).toEqual([runner.asked[0]!.id])
  })

  test('a request whose deadline passes while no runner is there is answered with 504', async () => {
    const router = newRouter()
    await expect(ask(router, '1', { deadlineMs: 50 })).rejects.toMatchObject({
      code: 'deadline_exceeded',
    })
  })

  test('the work of a caller that has left is canceled where it runs', async () => {
    const router = newRouter()
    const runner = await dial(router, 'a')
    const caller = new AbortController()
    const asking = router.router.infer(callFor('1'), caller.signal)
    await until(() => runner.asked.length === 1)
    caller.abort()
    await until(() => runner.canceled.length === 1)
    runner.refuseAll({ code: 'canceled', public: 'left' })
    await expect(asking).rejects.toMatchObject({ code: 'canceled' })
  })

  test('the work of a caller that has left is not done over when its runner is lost', async () => {
    const router = newRouter()
    const first = await dial(router, 'a')
    const caller = new AbortController()
    const asking = router.router.infer(callFor('1'), caller.signal)
    await until(() => first.asked.length === 1)
    const second = await dial(router, 'b')
    caller.abort()
    first.die()
    await expect(asking).rejects.toMatchObject({ code: 'canceled' })
    expect(second.asked).toEqual([])
  })
})

describe('bounds', () => {
  test('a request under which one runner after the other is lost is given up', async () => {
    const router = newRouter()
    const asking = ask(router, 'poison').catch(error => error)
    for (const name of ['a', 'b', 'c']) {
      const runner = await dial(router, name)
      await until(() => runner.asked.length === 1)
      runner.die()
    }
    expect(await asking).toMatchObject({ code: 'unavailable', retryable: true })
  })

  test('bodies in flight and waiting are bounded: over it callers are told to come back', async () => {
    const router = newRouter()
    const body = new Uint8Array(200 * 2 ** 20)
    const big = () => {
      const call = { ...callFor(''), body }
      return router.router.infer(call, null).catch((error: AppError) => error.code)
    }
    // Nobody reads them: they wait for a runner.
    const waiting = [big(), big()]
    expect(await big()).toBe('overloaded')
    expect(await Promise.race([...waiting, sleep(20).then(() => 'waits')])).toBe('waits')
  })

  test('the wait for a runner ends with the caller', async () => {
    const router = newRouter()
    const caller = new AbortController()
    const asking = router.router.infer(callFor('1'), caller.signal)
    caller.abort()
    await expect(asking).rejects.toMatchObject({ code: 'canceled' })
  })

  test('a runner that speaks nonsense loses its channel and harms nobody', async () => {
    const router = newRouter()
    const odd = await dial(router, 'odd')
    odd.channel.send(FRAME.warm, 0, [Buffer.from('{')])
    await until(odd.isEnded)
    const runner = await dial(router, 'a')
    runner.answerAll()
    expect(await ask(router, '1')).toBe('a did 1')
  })
})

describe('who may dial', () => {
  test.each([
    [
      'with a key of another deployment',
      async () => helloOf('x', await placeKey(`${SECRET}!`, 'runner')),
    ],
    ['with a token for another name', async () => ({ ...(await helloOf('x')), name: 'y' })],
    ['without a token', async () => ({ name: 'x' })],
    ['with something that is no hello', async () => 'nonsense'],
  ])('a runner that says hello %s is dropped', async (_, hello) => {
    const router = newRouter()
    const runner = await dial(router, 'x', [], { hello: await hello() })
    await until(runner.isEnded)
    expect(await router.router.ready()).toBe(false)
  })

  test('a peer that sends work before it said hello is dropped', async () => {
    const router = newRouter()
    const ours = await connect(router)
    let ended = false
    const channel = openChannel(ours, { frame() {}, end: () => (ended = true) })
    channel.send(FRAME.warm, 0, [jsonPart([])])
    await until(() => ended)
  })

  test('a runner that hangs up while its hello is checked is not taken for one that is there', async () => {
    const router = newRouter()
    for (let turn = 0; turn < 20; turn++) {
      const ours = await connect(router)
      const channel = openChannel(ours, { frame() {}, end() {} })
      channel.send(FRAME.hello, 0, [jsonPart(await helloOf('hasty'))])
      channel.flush()
      ours.destroySoon()
    }
    await sleep(50)
    expect(await router.router.ready()).toBe(false)
  })
})

test('what a request shares with others of its key and version travels once', async () => {
  const router = newRouter()
  const ours = await connect(router)
  const seen: number[] = []
  const contexts: Shared[] = []
  const channel = openChannel(ours, {
    frame(type, id, payload) {
      seen.push(type)
      if (type === FRAME.context) contexts.push(fromJsonPart(payload))
      if (type !== FRAME.infer) return
      const { model } = contexts[readInfer(payload).head.context - 1]!
      const made = digestMark(model.digest)
      const about = { jsonLength: null, line: '[0]', receiptId: 'rcp', computeUs: 1, made }
      channel.send(FRAME.reply, id, [replyHead(about)])
    },
    end() {},
  })
  channel.send(FRAME.hello, 0, [jsonPart(await helloOf('a'))])
  channel.send(FRAME.warm, 0, [jsonPart(['d', 'e'])])
  await Promise.all([ask(router, '1'), ask(router, '2'), ask(router, '3', { digest: 'e' })])
  expect(seen.filter(type => type === FRAME.context)).toHaveLength(2)
  expect(contexts).toMatchObject([{ model: { digest: 'd' } }, { model: { digest: 'e' } }])
})
