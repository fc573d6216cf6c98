/** How a runner begins and ends a step: one at a time, and what of a failure is whose. */
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { json } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, onTestFinished, test } from 'vitest'
import { AppError } from '#core/error.ts'
import { openSigner, placeKey } from '#core/internal/signing.ts'
import { openControl } from '#gpu-runners/control.ts'
import { UNPROTECTED } from '#gpu-runners/leaving/protection.ts'
import { NoRoom } from '#gpu-runners/models/memory.ts'
import { type StepDeps, steps } from '#gpu-runners/steps.ts'
import { remoteQueue } from '#platform/queue/remote.ts'
import { newId } from '#schemas/ids.ts'
import { systemClock as clock } from '#tests/caller.ts'

type Failure = { kind: string; error: { code: string } }

type Input = { operation?: string; stepId?: string }
type Answers = Record<string, (input: Input) => unknown>

/** A runner at work on so many steps, `step-1` the first, of functions that answer so. */
async function runnerOf(count: number, answers: Answers, work: StepDeps['work']) {
  let given = 0
  const usual: Answers = {
    '/internal/queue': async ({ operation }) => {
      if (operation !== 'receive') return { held: true, count: 1 }
      if (given === count) await sleep(20)
      const messages = given < count ? [messageOf(++given)] : []
      return { messages }
    },
    '/internal/steps/lease': ({ stepId }) => leaseOf(stepId),
  }
  const server = createServer(async (request, response) => {
    const input = (await json(request)) as Input
    const answer = answers[request.url!] ?? usual[request.url!]
    response.end(JSON.stringify((await answer?.(input)) ?? {}))
  }).listen(0, '127.0.0.1')
  onTestFinished(() => void server.close())
  await once(server, 'listening')
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const signer = await openSigner('runner', await placeKey('s'.repeat(40), 'runner'))
  const control = openControl({ url, signer, clock }, 5)
  const queue = remoteQueue({
    request: (operation, input, signal) =>
      control.ask('/internal/queue', { operation, input }, signal),
  })
  const draining = new AbortController()
  const working = steps(
    {
      queue,
      control,
      log: { info() {}, error() {} },
      runner: 'runner-0',
      hardware: 'cpu',
      queues: ['work'],
      protection: UNPROTECTED,
      work,
    },
    { draining: draining.signal, givingUp: new AbortController().signal },
  )
  return async () => {
    draining.abort()
    await working
  }
}

function messageOf(number: number) {
  const body = JSON.stringify({ tenantId: newId('tenant'), stepId: `step-${number}` })
  return { id: String(number), body, receipt: `r-${number}`, receiveCount: 1 }
}

const leaseOf = (stepId?: string) => ({
  status: 'leased',
  kind: 'shard',
  number: 0,
  epoch: 1,
  stepId,
})

/** What a runner says of a step whose work fails so. */
async function failureOf(error: unknown): Promise<Failure> {
  const failure = Promise.withResolvers<Failure>()
  const onFail = (input: unknown) => failure.resolve(input as Failure)
  const leave = await runnerOf(1, { '/internal/steps/fail': onFail }, () => Promise.reject(error))
  const said = await failure.promise
  await leave()
  return said
}

const refusal = (retryable: boolean) => new NoRoom('unavailable', { public: 'No room.', retryable })

test('a step whose model finds no memory at the moment is given back and spends no attempt', async () => {
  expect(await failureOf(refusal(true))).toMatchObject({
    kind: 'preempted',
    error: { code: 'unavailable' },
  })
})

test('a step whose model will never fit spends its attempts, as any other failure does', async () => {
  expect(await failureOf(refusal(false))).toMatchObject({ kind: 'retryable' })
  expect(await failureOf(new Error('out of luck'))).toMatchObject({ kind: 'retryable' })
  expect(await failureOf(new AppError('invalid_model'))).toMatchObject({ kind: 'permanent' })
})

test('the next step is leased and made ready while the last one is told, and begins after that', async () => {
  const order: string[] = []
  const ready = Promise.withResolvers<void>()
  const ended = Promise.withResolvers<void>()
  const answers: Answers = {
    '/internal/steps/lease': ({ stepId }) => {
      order.push(`leased ${stepId}`)
      return leaseOf(stepId)
    },
    '/internal/steps/finish': async ({ stepId }) => {
      await ready.promise
      // For a runner that would not wait to show it.
      if (stepId === 'step-1') await sleep(50)
      order.push(`told of ${stepId}`)
      if (stepId === 'step-2') ended.resolve()
    },
  }
  const leave = await runnerOf(2, answers, async ({ stepId }, _, { begin, nearlyDone }) => {
    order.push(`made ${stepId} ready`)
    if (stepId === 'step-2') ready.resolve()
    await begin()
    order.push(`began ${stepId}`)
    nearlyDone()
    return { kind: 'shard' } as never
  })
  await ended.promise
  await leave()
  expect(order).toEqual([
    'leased step-1',
    'made step-1 ready',
    'began step-1',
    'leased step-2',
    'made step-2 ready',
    'told of step-1',
    'began step-2',
    'told of step-2',
  ])
})

test('a step that waits for its turn when the runner must leave is handed back before the last one ends', async () => {
  const handedBack = Promise.withResolvers<Input & Failure>()
  const mayEnd = Promise.withResolvers<void>()
  const began: unknown[] = []
  const told: unknown[] = []
  const waiting = Promise.withResolvers<void>()
  const answers: Answers = {
    '/internal/steps/lease': ({ stepId }) => {
      if (stepId === 'step-2') waiting.resolve()
      return leaseOf(stepId)
    },
    '/internal/steps/finish': ({ stepId }) => void told.push(stepId),
    '/internal/steps/fail': input => handedBack.resolve(input as Input & Failure),
  }
  const leave = await runnerOf(2, answers, async ({ stepId }, _, { begin, nearlyDone }) => {
    await begin()
    began.push(stepId)
    nearlyDone()
    await mayEnd.promise
    return { kind: 'shard' } as never
  })
  await waiting.promise
  const left = leave()
  expect(await handedBack.promise).toMatchObject({ stepId: 'step-2', kind: 'preempted' })
  expect(told).toEqual([])
  mayEnd.resolve()
  await left
  expect(told).toEqual(['step-1'])
  expect(began).toEqual(['step-1'])
})
