/** Requests that find no runner call for one, and wait for it as long as it is worth. */
import { describe, expect, test, vi } from 'vitest'
import type { InferenceReply, Servable } from '#core/deps.ts'
import { openCalling } from '#gpu-runners/routing/calling.ts'
import { newPending } from '#gpu-runners/routing/runner.ts'
import { Waiting } from '#gpu-runners/routing/waiting.ts'
import { Registry } from '#platform/metrics/registry.ts'
import { systemClock as clock, handClock } from '#tests/caller.ts'
import { ask, callFor, dial, newRouter, until } from './scene.ts'

const log = { info() {}, error() {} }
const WAIT_MS = 60
const of = (hardware?: string): Servable => {
  const { model } = callFor('')
  return { ...model, manifest: { ...model.manifest, ...(hardware && { hardware }) } }
}

test('requests that find none call for one, once for all of them, and are answered by the one that comes', async () => {
  const router = newRouter({ coldS: 20 })
  const answers = ['1', '2', '3'].map(body => ask(router, body))
  await until(() => router.calls.length > 0)
  const runner = await dial(router, 'a', ['d'])
  runner.answerAll()
  expect(await Promise.all(answers)).toEqual(['a did 1', 'a did 2', 'a did 3'])
  expect(router.calls).toEqual([null])
})

test('a call is of the class that a version asks for, and one that runners are there for is not made', async () => {
  const router = newRouter()
  await dial(router, 'a')
  const departure = new AbortController()
  const call = { ...callFor('x'), model: of('cuda') }
  const refused = router.router.infer(call, departure.signal).catch(error => error)
  await until(() => router.calls.length > 0)
  expect(router.calls).toEqual(['cuda'])
  departure.abort()
  expect(await refused).toMatchObject({ code: 'canceled' })
})

test('a version that is to be made warm calls for a runner as well', async () => {
  const router = newRouter({ coldS: 20 })
  const { call, model } = callFor('')
  const load = { call, model, instead: null, deadline: clock.now() + 30_000 }
  const loaded = router.router.load(load)
  await until(() => router.calls.length > 0)
  await dial(router, 'a')
  expect(await loaded).toEqual({ runners: 1 })
})

test('a call that nobody heard is made again', async () => {
  const router = newRouter({ deafFor: 1 })
  const answer = ask(router, '1')
  await until(() => router.calls.length > 1)
  const runner = await dial(router, 'a', ['d'])
  runner.answerAll()
  expect(await answer).toBe('a did 1')
})

test('calls of one class are one in a second, and the next one after a runner was there is another', async () => {
  const hand = handClock()
  const calls: (string | null)[] = []
  const callRunner = async (hardware: string | null) => {
    calls.push(hardware)
    return { coldS: 8 }
  }
  const onExpected = vi.fn()
  const calling = openCalling(
    { clock: hand, log, registry: new Registry(), callRunner },
    onExpected,
  )
  const began = hand.now()
  for (const model of [of(), of(), of('cuda'), of('cuda')]) calling.call(model)
  expect(calls).toEqual([null, 'cuda'])
  await until(() => onExpected.mock.calls.length === 2)
  hand.forward(1_000)
  calling.call(of())
  expect(calls).toEqual([null, 'cuda', null])
  expect(calling.expectedMs(of())).toBe(began + 8_000)
  // Later than one takes: whoever asks now waits for as long again.
  hand.forward(7_500)
  expect(calling.expectedMs(of())).toBe(hand.now() + 8_000)
  // Of use to those that ask for its class alone.
  calling.met({ hardware: 'cpu', isDedicated: true })
  expect(calling.expectedMs(of())).not.toBeNull()
  calling.met({ hardware: 'cuda', isDedicated: false })
  expect([calling.expectedMs(of()), calling.expectedMs(of('cuda'))]).toEqual([null, null])
  calling.call(of('cuda'))
  expect(calls).toHaveLength(4)
})

describe('a request without a runner', () => {
  /** What becomes of it, and when. */
  async function waited(deadlineMs: number, expectedInMs: number | null) {
    const waiting = new Waiting(clock, { noRunnerWaitMs: WAIT_MS })
    const { promise, resolve, reject } = Promise.withResolvers<InferenceReply>()
    const sinceMs = clock.now()
    const expectedMs = () => (expectedInMs === null ? null : sinceMs + expectedInMs)
    const pending = newPending(callFor('x', { deadlineMs }), resolve, reject)
    waiting.add(pending, { for: 'a runner', expectedMs }, () => {})
    const error = await promise.catch(error => error)
    return { error, afterMs: clock.now() - sinceMs }
  }

  test('waits for one that is expected before its deadline, and a while longer', async () => {
    const { error, afterMs } = await waited(30_000, 300)
    expect(error).toMatchObject({
      code: 'unavailable',
      public: expect.stringContaining('expected in'),
    })
    expect(afterMs).toBeGreaterThanOrEqual(300)
  })

  test('is told when one is expected that comes too late for it', async () => {
    const { error } = await waited(600_000, 900_000)
    expect(error).toMatchObject({ code: 'unavailable', retryable: true })
    expect(error.retryAfterS).toBeGreaterThan(800)
    expect(error.public).toContain(`expected in ${error.retryAfterS} s`)
  })

  test('is told so too when its deadline passes meanwhile', async () => {
    const { error } = await waited(WAIT_MS / 2, 20)
    expect(error).toMatchObject({ code: 'deadline_exceeded', retryAfterS: 1 })
    const { error: alone } = await waited(WAIT_MS / 2, null)
    expect(alone.public).not.toContain('expected')
  })

  test('is told so at once where as many wait for it as may', async () => {
    const waiting = new Waiting(clock)
    const atMs = clock.now() + 900_000
    const why = { for: 'a runner' as const, expectedMs: () => atMs }
    const refused = Promise.withResolvers<InferenceReply>()
    for (let i = 0; i < 1_000; i++) {
      waiting.add(
        newPending(
          callFor('x'),
          () => {},
          () => {},
        ),
        why,
        () => {},
      )
    }
    waiting.add(newPending(callFor('x'), refused.resolve, refused.reject), why, () => {})
    const error = await refused.promise.catch(error => error)
    expect(error.code).toBe('overloaded')
    expect(error.retryAfterS).toBeGreaterThan(800)
    waiting.wakeAll()
    expect(waiting.size).toBe(0)
  })

  test('is told to come again soon where nobody starts any', async () => {
    const { error } = await waited(30_000, null)
    expect(error).toMatchObject({ code: 'unavailable', retryAfterS: 1 })
    expect(error.public).not.toContain('expected')
  })
})
