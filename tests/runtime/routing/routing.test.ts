/** Where the router sends a request: warmth, what there is to do, and every tenant's part of the room. */
import { setTimeout as sleep } from 'node:timers/promises'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { InferenceReply, LoadCall } from '#core/deps.ts'
import { FRAME } from '#gpu-runners/online/frames.ts'
import { replyHead } from '#gpu-runners/online/messages.ts'
import { Placement } from '#gpu-runners/routing/placement.ts'
import { Room } from '#gpu-runners/routing/room.ts'
import { newPending } from '#gpu-runners/routing/runner.ts'
import { Waiting } from '#gpu-runners/routing/waiting.ts'
import { newId } from '#schemas/ids.ts'
import { callOf, systemClock as clock } from '#tests/caller.ts'
import { allIsHeard, ask, callFor, dial, newRouter, until } from './scene.ts'

const REFUSED = { code: 'invalid_model', public: 'It lost its weights.', retryable: false } as const

describe('a model that no runner has warm', () => {
  test('is loaded once, however many ask, and all of them are answered', async () => {
    const router = newRouter()
    const runners = [await dial(router, 'a'), await dial(router, 'b')]
    for (const runner of runners) {
      runner.onLoad(null)
      runner.answerAll()
    }
    const answers = Promise.all(Array.from({ length: 50 }, (_, i) => ask(router, String(i))))
    await until(() => runners.some(runner => runner.loads.length > 0))
    await allIsHeard(router)
    expect(runners.flatMap(runner => runner.loads)).toEqual(['d'])
    for (const runner of runners) runner.answerLoads({ ok: true })
    expect(new Set(await answers).size).toBe(50)
  })

  test('is loaded elsewhere when its runner is lost', async () => {
    const router = newRouter()
    const first = await dial(router, 'a')
    first.onLoad(null)
    const answer = ask(router, '1')
    await until(() => first.loads.length === 1)
    const second = await dial(router, 'b')
    second.answerAll()
    first.die()
    expect(await answer).toBe('b did 1')
  })

  const GIVEN_UP = {
    code: 'unavailable',
    public: '3 runners were lost while they loaded this model.',
    retryable: true,
    retryAfterS: 1,
  }

  test('is given up when one runner after the other is lost while it loads, and the next is spared', async () => {
    const router = newRouter()
    const runners: Awaited<ReturnType<typeof dial>>[] = []
    for (const name of ['a', 'b', 'c', 'd']) runners.push(await dial(router, name))
    for (const runner of runners) runner.onLoad(null)
    const answer = ask(router, '1').catch(error => error)
    for (let deaths = 0; deaths < 3; deaths++) {
      await until(() => runners.some(runner => runner.loads.length > 0))
      const at = runners.findIndex(runner => runner.loads.length > 0)
      runners.splice(at, 1)[0]!.die()
    }
    expect(await answer).toMatchObject(GIVEN_UP)
    expect(runners.map(({ loads }) => loads)).toEqual([[]])
  })

  test('is given up as well where each runner that is lost was the only one', async () => {
    const router = newRouter()
    const answer = ask(router, '1').catch(error => error)
    for (const name of ['a', 'b', 'c']) {
      const runner = await dial(router, name, [], { loadsAtOnce: false })
      await until(() => runner.loads.length > 0)
      runner.die()
    }
    expect(await answer).toMatchObject(GIVEN_UP)
  })

  test('is loaded by one with less to do only where it would have loaded it in time', () => {
    const { model } = callFor('')
    const runner = (warm: string[], backlogUs: number) =>
      ({ hardware: 'cpu', warm: new Set(warm), loading: new Map(), backlogUs }) as never
    const placement = new Placement()
    placement.loaded(model.digest, 500_000)
    const alsoOf = (backlogUs: number) => {
      const [busy, idle] = [runner([model.digest], backlogUs), runner([], 0)]
      const { warm, also } = placement.choose([busy, idle], model)
      expect(warm).toBe(busy)
      return also === idle
    }
    expect([alsoOf(400_000), alsoOf(600_000)]).toEqual([false, true])
  })

  test('that cannot be loaded is told to all who wait, and not tried for each who asks next', async () => {
    const router = newRouter()
    const runner = await dial(router, 'a')
    runner.onLoad({ error: REFUSED })
    const answers = await Promise.all(
      ['1', '2', '3'].map(body => ask(router, body).catch(error => error)),
    )
    for (const answer of answers) expect(answer).toMatchObject(REFUSED)
    await expect(ask(router, '4')).rejects.toMatchObject(REFUSED)
    expect(runner.loads).toHaveLength(1)
  })

  test('is waited for until the deadline, and no longer', async () => {
    const router = newRouter()
    const runner = await dial(router, 'a')
    runner.onLoad(null)
    await expect(ask(router, '1', { deadlineMs: 50 })).rejects.toMatchObject({
      code: 'deadline_exceeded',
      public: expect.stringContaining('being loaded'),
      retryAfterS: expect.any(Number),
    })
  })

  test('is waited for by a thousand at most; the next is told when to come back', async () => {
    const router = newRouter()
    const runner = await dial(router, 'a')
    runner.onLoad(null)
    const answers = Array.from({ length: 1_000 }, (_, i) => ask(router, String(i)))
    await expect(ask(router, 'one more')).rejects.toMatchObject({
      code: 'overloaded',
      retryAfterS: expect.any(Number),
    })
    runner.answerAll()
    await until(() => runner.loads.length > 0)
    runner.answerLoads({ ok: true })
    expect(await Promise.all(answers)).toHaveLength(1_000)
  })
})

describe('placement', () => {
  test('goes by the work that waits and not by the number of requests', async () => {
    const router = newRouter()
    const runners = [await dial(router, 'a', ['slow']), await dial(router, 'b', ['quick'])]
    const [a, b] = runners as [(typeof runners)[0], (typeof runners)[0]]
    // What they take is known from the first answers.
    const first = ask(router, '1', { digest: 'slow' })
    await until(() => a.asked.length === 1)
    a.answer(a.asked.pop()!, 50_000)
    await first
    const second = ask(router, '2', { digest: 'quick' })
    await until(() => b.asked.length === 1)
    b.answer(b.asked.pop()!, 10)
    await second
    for (const runner of runners) runner.warm(['slow', 'quick'])
    await allIsHeard(router)
    void ask(router, 'slow one', { digest: 'slow' })
    await until(() => a.asked.length + b.asked.length === 1)
    const busy = a.asked.length === 1 ? a : b
    const idle = busy === a ? b : a
    for (let i = 0; i < 20; i++) void ask(router, String(i), { digest: 'quick' })
    await until(() => idle.asked.length === 20)
    expect(busy.asked).toHaveLength(1)
  })

  test('has a second runner load a model whose first has more to do than a load takes', async () => {
    const router = newRouter()
    const busy = await dial(router, 'busy', ['d'])
    const idle = await dial(router, 'idle')
    const first = ask(router, '0')
    await until(() => busy.asked.length === 1)
    busy.answer(busy.asked.pop()!, 100_000)
    await first
    for (let i = 0; i < 5; i++) void ask(router, String(i))
    await until(() => idle.loads.length === 1)
    const spread = ask(router, 'x')
    idle.answerAll()
    expect(await spread).toBe('idle did x')
  })

  test('does not ask a second runner again for every request when it could not load the model', async () => {
    const router = newRouter()
    const busy = await dial(router, 'busy', ['d'])
    const idle = await dial(router, 'idle')
    idle.onLoad({ error: REFUSED })
    const first = ask(router, '0')
    await until(() => busy.asked.length === 1)
    busy.answer(busy.asked.pop()!, 100_000)
    await first
    for (let i = 0; i < 5; i++) void ask(router, String(i))
    await until(() => idle.loads.length === 1)
    await allIsHeard(router)
    for (let i = 5; i < 25; i++) void ask(router, String(i))
    await until(() => busy.asked.length === 25)
    await allIsHeard(router)
    expect(idle.loads).toHaveLength(1)
  })

  test('an answer that another version made reaches nobody', async () => {
    const router = newRouter()
    const runner = await dial(router, 'a', ['d'])
    const asking = ask(router, '1')
    await until(() => runner.asked.length === 1)
    const head = { jsonLength: null, line: '[0]', receiptId: 'rcp', computeUs: 1, made: 77 }
    runner.channel.send(FRAME.reply, runner.asked[0]!.id, [replyHead(head), Buffer.from('wrong')])
    await expect(asking).rejects.toMatchObject({ code: 'internal' })
  })
})

describe('a version that is to take over', () => {
  const loadOf = (digest: string, instead: string | null, deadlineMs = 5_000): LoadCall => {
    const { call, model } = callFor('', { digest })
    return { call, model, instead, deadline: clock.now() + deadlineMs }
  }

  test('is loaded on every runner that has the one before it warm', async () => {
    const router = newRouter()
    const serving = [await dial(router, 'a', ['old']), await dial(router, 'b', ['old'])]
    const other = await dial(router, 'c')
    await allIsHeard(router)
    expect(await router.router.load(loadOf('new', 'old'))).toEqual({ runners: 2 })
    expect(serving.map(runner => runner.loads)).toEqual([['new'], ['new']])
    expect(other.loads).toEqual([])
    expect(await router.router.load(loadOf('third', null))).toEqual({ runners: 1 })
  })

  test('is refused with the engine’s words when it cannot be loaded', async () => {
    const router = newRouter()
    const runner = await dial(router, 'a', ['old'])
    runner.onLoad({ error: REFUSED })
    await expect(router.router.load(loadOf('new', 'old'))).rejects.toMatchObject(REFUSED)
  })

  test('is not refused because a runner was lost while it loaded it', async () => {
    const router = newRouter()
    const first = await dial(router, 'a', ['old'])
    first.onLoad(null)
    const load = router.router.load(loadOf('new', 'old'))
    await until(() => first.loads.length === 1)
    first.die()
    const next = await dial(router, 'b')
    expect(await load).toEqual({ runners: 1 })
    expect(next.loads).toEqual(['new'])
  })

  test('is waited for until the deadline', async () => {
    const router = newRouter()
    const runner = await dial(router, 'a', ['old'])
    runner.onLoad(null)
    await expect(router.router.load(loadOf('new', 'old', 50))).rejects.toMatchObject({
      code: 'deadline_exceeded',
    })
  })
})

test('a request waits for a runner so long and no longer, however often it is woken by one that does not suit', async () => {
  const waiting = new Waiting(clock, { noRunnerWaitMs: 60 })
  const { promise, resolve, reject } = Promise.withResolvers<InferenceReply>()
  const pending = newPending(callFor('x'), resolve, reject)
  const wait = () => waiting.add(pending, { for: 'a runner', expectedMs: () => null }, wait)
  wait()
  let isOver = false
  const refused = promise
    .catch(error => error)
    .finally(() => {
      isOver = true
    })
  while (!isOver) {
    waiting.wakeAll()
    await sleep(5)
  }
  expect(await refused).toMatchObject({
    code: 'unavailable',
    public: expect.stringContaining('No runner'),
  })
})

test('in whatever order tenants come and go, a flood leaves room for the next tenant, and no room is lost', () => {
  const tenants = Array.from({ length: 4 }, () => callOf(newId('tenant')))
  const step = fc.record({
    tenant: fc.nat(3),
    bytes: fc.nat(100),
    times: fc.nat(60),
    isBack: fc.boolean(),
  })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), steps => {
      const room = new Room({ requests: 100, bytes: 5_000 })
      const held: Parameters<Room['take']>[0][] = []
      for (const { tenant, bytes, times, isBack } of steps) {
        if (isBack) for (const asked of held.splice(0, times)) room.give(asked)
        const asked = { call: tenants[tenant]!, body: new Uint8Array(bytes) }
        for (let i = 0; i < times; i++) if (room.take(asked)) held.push(asked)
        expect(held.length).toBeLessThanOrEqual(100)
        const bytesHeld = held.reduce((sum, { body }) => sum + body.length, 0)
        expect(bytesHeld).toBeLessThanOrEqual(5_000)
        // Whoever holds nothing finds a place: four floods leave a fifth of it and more, less one body.
        const stranger = { call: callOf(newId('tenant')), body: new Uint8Array(100) }
        expect(room.take(stranger)).toBe(true)
        room.give(stranger)
      }
      for (const asked of held) room.give(asked)
      const all = { call: tenants[0]!, body: new Uint8Array(5_000) }
      expect(room.take(all)).toBe(true)
    }),
  )
})

describe('what a runner refused for all that waits there', () => {
  const full = (untilMs: number) => ({
    code: 'overloaded',
    public: '70 rows are before this one.',
    retryable: true,
    retryAfterS: 3,
    full: { untilMs, forMs: 60_000, doneMs: clock.now() + 10_000 },
  })
  const told = { code: 'overloaded', public: '70 rows are before this one.', retryAfterS: 3 }

  test('is told to who asks next without asking it, for as long as it said', async () => {
    const router = newRouter()
    const runner = await dial(router, 'a', ['d'])
    const first = ask(router, '1', { deadlineMs: 50 }).catch(error => error)
    await until(() => runner.asked.length === 1)
    runner.refuseAll(full(clock.now() + 60_000))
    expect(await first).toMatchObject(told)
    expect(await ask(router, '2', { deadlineMs: 5_000 }).catch(error => error)).toMatchObject(told)
    expect(runner.asked).toEqual([])
    // Who has the time, and who may be more urgent, is asked for.
    const others = [ask(router, '3'), ask(router, '{"priority":1}', { deadlineMs: 5_000 })]
    await until(() => runner.asked.length === 2)
    runner.refuseAll(full(clock.now() - 1))
    for (const { reason } of (await Promise.allSettled(others)) as PromiseRejectedResult[])
      expect(reason).toMatchObject(told)
    runner.answerAll()
    expect(await ask(router, '4', { deadlineMs: 5_000 })).toBe('a did 4')
  })
})
