/** How a runner ends a step: what is its input's fault, what may pass, and what is nobody's. */
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { json } from 'node:stream/consumers'
import { expect, onTestFinished, test } from 'vitest'
import { AppError } from '#core/error.ts'
import { openSigner, placeKey } from '#core/internal/signing.ts'
import { openControl } from '#gpu-runners/control.ts'
import { UNPROTECTED } from '#gpu-runners/leaving/protection.ts'
import { NoRoom } from '#gpu-runners/models/memory.ts'
import { steps } from '#gpu-runners/steps.ts'
import { remoteQueue } from '#platform/queue/remote.ts'
import { newId } from '#schemas/ids.ts'
import { systemClock as clock } from '#tests/caller.ts'

type Failure = { kind: string; error: { code: string } }

/** Functions that have one step to give; what a runner says when it fails. */
async function failureOf(error: unknown): Promise<Failure> {
  const failure = Promise.withResolvers<Failure>()
  let isGiven = false
  const answers: Record<string, (input: { operation?: string }) => unknown> = {
    '/internal/queue': ({ operation }) => {
      if (operation !== 'receive') return { held: true, count: 1 }
      const body = JSON.stringify({ tenantId: newId('tenant'), stepId: newId('step') })
      const messages = isGiven ? [] : [{ id: '1', body, receipt: 'r', receiveCount: 1 }]
      isGiven = true
      return { messages }
    },
    '/internal/steps/lease': () => ({ status: 'leased', kind: 'shard', number: 0, epoch: 1 }),
    '/internal/steps/fail': input => {
      failure.resolve(input as Failure)
      return {}
    },
  }
  const server = createServer(async (request, response) => {
    const input = (await json(request)) as { operation?: string }
    response.end(JSON.stringify(answers[request.url!]?.(input) ?? {}))
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
  const ending = new AbortController()
  const working = steps(
    {
      queue,
      control,
      log: { info() {}, error() {} },
      runner: 'runner-0',
      hardware: 'cpu',
      protection: UNPROTECTED,
      work: () => Promise.reject(error),
    },
    { draining: ending.signal, givingUp: ending.signal },
  )
  const said = await failure.promise
  ending.abort()
  await working
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
