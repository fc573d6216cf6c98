/** A runner that leaves: nothing new is begun, what can end ends, and the rest is handed back at once. */
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, onTestFinished, test } from 'vitest'
import { AppError } from '#core/error.ts'
import { openSigner, placeKey } from '#core/internal/signing.ts'
import type { Assignment } from '#gpu-runners/assignment.ts'
import { openControl } from '#gpu-runners/control.ts'
import { leave, newLeaving } from '#gpu-runners/leaving/leave.ts'
import { type StepDeps, steps } from '#gpu-runners/steps.ts'
import { remoteQueue } from '#platform/queue/remote.ts'
import { systemClock as clock } from '#tests/caller.ts'

type Asked = { path: string; body: Record<string, unknown> }

/** Functions that have one step to do, and keep what the runner asks of them. */
async function newFunctions(onLease = async () => {}) {
  const asked: Asked[] = []
  let sent = false
  const http = createServer(async (request, response) => {
    let text = ''
    for await (const chunk of request) text += chunk
    const one = { path: request.url!, body: JSON.parse(text) }
    asked.push(one)
    response.end(JSON.stringify(await answer(one)))
  }).listen(0, '127.0.0.1')
  onTestFinished(() => {
    http.close()
    http.closeAllConnections()
  })
  await once(http, 'listening')

  async function answer({ path, body }: Asked): Promise<unknown> {
    if (path === '/internal/steps/lease') {
      await onLease()
      const step = { tenantId: 'ten', runId: 'run', stepId: 'stp', kind: 'shard', number: 0 }
      return { status: 'leased', epoch: 1, ...step }
    }
    if (path !== '/internal/queue' || body.operation !== 'receive') return { held: true }
    if (sent) await sleep(50)
    const message = { id: 'm', body: '{"stepId":"stp"}', receipt: 'r', receiveCount: 1 }
    const messages = sent ? [] : [message]
    sent = true
    return { messages }
  }

  const url = `http://127.0.0.1:${(http.address() as AddressInfo).port}`
  const signer = await openSigner('runner', await placeKey('s'.repeat(40), 'runner'))
  const control = openControl({ url, signer, clock }, 5)
  const queue = remoteQueue({
    request: (operation, input, signal) =>
      control.ask('/internal/queue', { operation, input }, signal),
  })
  const of = (path: string) => asked.filter(one => one.path === path)
  return { asked, of, control, queue }
}

/** A runner at work on that step, and the hold that it has on its task. */
function newRunner(functions: Awaited<ReturnType<typeof newFunctions>>, work: StepDeps['work']) {
  const leaving = newLeaving()
  let held = 0
  const hold = () => {
    held++
    return () => void held--
  }
  const protection = { hold, settled: async () => {} }
  const log = { info() {}, error() {} }
  const inTurn: StepDeps['work'] = async (assignment, signal, on) => {
    await on.begin()
    return work(assignment, signal, on)
  }
  const queues = ['work'] as const
  const deps = { ...functions, log, runner: 'r', hardware: 'cpu', queues, protection, work: inTurn }
  const { draining, givingUp } = leaving
  const loop = steps(deps, { draining: draining.signal, givingUp: givingUp.signal })
  const go = (budgetMs: number, inFlight = () => 0) => {
    const done: string[] = []
    const dialled = {
      drain: () => void done.push('drain'),
      inFlight,
      close: () => void done.push('close'),
    }
    const close = async () => void done.push('ship')
    return leave(leaving, { dialled, loops: [loop], close }, budgetMs).then(() => done)
  }
  onTestFinished(async () => {
    draining.abort()
    givingUp.abort()
    await loop
  })
  return { leaving, go, held: () => held }
}

const done = { kind: 'shard' } as never
const untilAborted = (_: Assignment, signal: AbortSignal) =>
  new Promise<never>((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)))

test('a shard that can end within the time ends, and is not done again', async () => {
  const functions = await newFunctions()
  const begun = Promise.withResolvers<void>()
  const may = Promise.withResolvers<void>()
  const runner = newRunner(functions, async () => {
    begun.resolve()
    await may.promise
    return done
  })
  await begun.promise
  expect(runner.held()).toBe(1)
  const gone = runner.go(60_000)
  may.resolve()
  await gone
  expect(functions.of('/internal/steps/finish')).toHaveLength(1)
  expect(functions.of('/internal/steps/fail')).toEqual([])
  expect(runner.held()).toBe(0)
})

test('a shard that cannot is handed back as preempted, so that it costs no attempt', async () => {
  const functions = await newFunctions()
  const runner = newRunner(functions, untilAborted)
  await until(() => runner.held() === 1)
  await runner.go(400)
  const [failed] = functions.of('/internal/steps/fail')
  expect(failed!.body).toMatchObject({ kind: 'preempted', stepId: 'stp', epoch: 1 })
  expect(runner.held()).toBe(0)
})

test('a step that fails by itself while the runner leaves is no preemption', async () => {
  const functions = await newFunctions()
  const begun = Promise.withResolvers<void>()
  const may = Promise.withResolvers<void>()
  const runner = newRunner(functions, async () => {
    begun.resolve()
    await may.promise
    throw new AppError('invalid_model')
  })
  await begun.promise
  const gone = runner.go(60_000)
  may.resolve()
  await gone
  expect(functions.of('/internal/steps/fail')[0]!.body).toMatchObject({ kind: 'permanent' })
})

test('a lease that comes while the runner begins to leave is handed back before any work', async () => {
  const asked = Promise.withResolvers<void>()
  const may = Promise.withResolvers<void>()
  const functions = await newFunctions(async () => {
    asked.resolve()
    await may.promise
  })
  let worked = 0
  const runner = newRunner(functions, async () => {
    worked++
    return done
  })
  await asked.promise
  const gone = runner.go(60_000)
  may.resolve()
  await gone
  expect(worked).toBe(0)
  expect(functions.of('/internal/steps/fail')[0]!.body).toMatchObject({ kind: 'preempted' })
})

test('the router is told first, and the channel closes when the last request is answered', async () => {
  const functions = await newFunctions()
  const runner = newRunner(functions, async () => done)
  let asked = 0
  const order = await runner.go(60_000, () => (asked++ < 3 ? 1 : 0))
  expect(asked).toBeGreaterThan(3)
  expect(order).toEqual(['drain', 'close', 'ship'])
})

test('requests that are never answered do not keep a runner past its time', async () => {
  const functions = await newFunctions()
  const runner = newRunner(functions, async () => done)
  expect(await runner.go(200, () => 1)).toEqual(['drain', 'close', 'ship'])
})

test('a runner that nobody waits for lets go of everything', async () => {
  const functions = await newFunctions()
  const runner = newRunner(functions, untilAborted)
  await until(() => runner.held() === 1)
  expect(await runner.go(0, () => 1)).toEqual(['drain', 'close', 'ship'])
  expect(runner.leaving.givingUp.signal.aborted).toBe(true)
})

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await sleep(5)
}
