/** The suite of the ways to the functions over Lambda's Invoke API, and what only Lambda does. */
import { LambdaClient } from '@aws-sdk/client-lambda'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { replyOf, requestOf } from '#functions/invocation/http.ts'
import { invokedFunctions } from '#platform/functions/invoke.ts'
import { functionsSuite } from '../conformance/functions.ts'
import { type Faulty, startFaulty } from './faulty.ts'
import { type Handler, serveLambda } from './lambda-server.ts'
import { clientConfig } from './servers.ts'

const NAME = 'galley-test-api'
const clientOf = (endpoint: string) =>
  new LambdaClient({ ...clientConfig(endpoint), maxAttempts: 3 })

functionsSuite({
  name: "Lambda's Invoke API",
  async open(handler) {
    // What the function's own bundle does with an event.
    const server = await serveLambda({
      [NAME]: async event => replyOf(await handler(requestOf(event))),
    })
    const client = clientOf(server.endpoint)
    const close = async () => {
      client.destroy()
      await server.close()
    }
    return { functions: invokedFunctions({ client, name: NAME }), url: `lambda://${NAME}`, close }
  },
})

describe('an invocation in trouble', () => {
  let server: Awaited<ReturnType<typeof serveLambda>>
  let faulty: Faulty
  let client: LambdaClient
  const failing =
    (name: string, message: string): Handler =>
    async () => {
      throw Object.assign(new Error(message), { name })
    }

  beforeAll(async () => {
    server = await serveLambda({
      api: async () => ({ statusCode: 200, body: 'ok' }),
      odd: async () => ({ neither: 'status nor body' }),
      broken: failing('TypeError', 'nonsense'),
      slow: failing('Sandbox.Timedout', 'Task timed out after 29.00 seconds'),
      dead: failing(
        'Runtime.ExitError',
        'RequestId: 1 Error: Runtime exited with error: signal: killed',
      ),
    })
    faulty = await startFaulty(server.endpoint)
    client = clientOf(faulty.endpoint)
  })
  afterAll(async () => {
    client.destroy()
    await faulty.close()
    await server.close()
  })

  const invoke = (name: string, body?: string) =>
    invokedFunctions({ client, name })(
      new Request('lambda://f/path', body === undefined ? {} : { method: 'POST', body }),
    )

  test('what was throttled is asked again, and told as such when it lasts', async () => {
    let left = 2
    const headers = { 'x-amzn-errortype': 'TooManyRequestsException' }
    faulty.spoil(() => (left-- > 0 ? { status: 429, headers, body: '{}' } : null))
    expect(await (await invoke('api')).text()).toBe('ok')
    left = Number.POSITIVE_INFINITY
    await expect(invoke('api')).rejects.toMatchObject({ code: 'unavailable', retryable: true })
    faulty.spoil(() => null)
  })

  test('a function that is not there, or not for us, is named with what is needed', async () => {
    const missing = await invoke('gone').catch(error => error)
    expect(missing).toMatchObject({ code: 'internal', retryable: false })
    expect(missing.message).toContain('Lambda has no function gone')
    const headers = { 'x-amzn-errortype': 'AccessDeniedException' }
    faulty.spoil(() => ({ status: 403, headers, body: '{}' }))
    await expect(invoke('api')).rejects.toThrow('the role needs lambda:InvokeFunction')
    faulty.spoil(() => null)
  })

  test('who was ended may be asked again; who failed by himself may not', async () => {
    for (const name of ['slow', 'dead']) {
      await expect(invoke(name)).rejects.toMatchObject({ code: 'unavailable', retryable: true })
    }
    for (const name of ['broken', 'odd']) {
      const told = await invoke(name).catch(error => error)
      expect(told).toMatchObject({ code: 'internal', retryable: false })
      expect(told.public).not.toContain('nonsense')
    }
  })

  test('a request that Lambda would refuse for its size is not sent', async () => {
    faulty.asked.length = 0
    const asked = invoke('api', 'x'.repeat(5_000_000))
    await expect(asked).rejects.toMatchObject({ code: 'payload_too_large' })
    expect(faulty.asked).toEqual([])
  })
})
