import fc from 'fast-check'
import { afterEach, describe, expect, test } from 'vitest'
import { Galley, GalleyError } from '#sdk/client.ts'
import { TRIES_MAX, waitBeforeRetry } from '#sdk/retry.ts'
import { type Answer, type Asked, type Peer, problem, startPeer } from './sdk-peer.ts'

const opened: Peer[] = []
afterEach(async () => {
  for (const peer of opened.splice(0)) await peer.close()
})

/** A client that waits no longer than it is told to, and the peer that answers it. */
async function talk(answer: (asked: Asked, at: number, peer: Peer) => Answer) {
  const peer = await startPeer((asked, self) => answer(asked, self.asked.length, self))
  opened.push(peer)
  const galley = new Galley({ baseUrl: `${peer.url}/`, key: 'gly_test' })
  galley.connection.random = () => 0
  return { peer, galley }
}
const refusal = async (call: Promise<unknown>) => {
  const error = await call.then(
    () => null,
    (reason: unknown) => reason,
  )
  expect(error).toBeInstanceOf(GalleyError)
  return error as GalleyError
}
const newTenant = { body: { name: 'acme' } }

describe('a call', () => {
  test('fills in its path and query, and sends its key and JSON', async () => {
    const { galley, peer } = await talk(() => ({ json: { data: [] } }))
    await galley.request('models.versions', { params: { model: 'a/b' }, query: { limit: 3 } })
    expect(peer.asked[0]).toMatchObject({
      method: 'GET',
      path: '/v1/registry/models/a%2Fb/versions?limit=3',
      headers: { authorization: 'Bearer gly_test' },
    })
  })

  test('never leaves its path, whatever a name holds', async () => {
    const { galley, peer } = await talk(() => ({}))
    for (const model of ['', '.', '..']) {
      const call = (async () => galley.request('models.get', { params: { model } }))()
      expect((await refusal(call)).code).toBe('invalid_request')
    }
    expect(peer.asked).toEqual([])
  })

  test('fails with what the problem says', async () => {
    const { galley } = await talk(() => problem(404, 'not_found', 'There is no model "x".'))
    const error = await refusal(galley.request('models.get', { params: { model: 'x' } }))
    expect(error).toMatchObject({
      code: 'not_found',
      status: 404,
      detail: 'There is no model "x".',
      requestId: 'req_1',
    })
  })

  test('says so when something else than Galley answers', async () => {
    const { galley } = await talk(() => ({ status: 404, body: '<html>nginx</html>' }))
    expect((await refusal(galley.request('models.list'))).code).toBe('unexpected_reply')
  })

  test('carries neither body nor key to where a redirect points', async () => {
    const { galley, peer } = await talk(({ path }, _at, self) =>
      path === '/v1/tenants' ? { status: 307, headers: { location: `${self.url}/thief` } } : {},
    )
    await refusal(galley.request('tenants.create', newTenant))
    expect(peer.asked.map(({ path }) => path)).toEqual(['/v1/tenants'])
  })

  test('ends with the reason of its signal, while it is asked and while it waits', async () => {
    const { galley } = await talk(() => problem(503, 'unavailable', '', { 'retry-after': '30' }))
    const { galley: unheard } = await talk(() => 'silence')
    for (const each of [galley, unheard]) {
      const stop = new AbortController()
      const call = each.request('models.list', {}, { signal: stop.signal })
      setTimeout(() => stop.abort(new Error('enough')), 30)
      await expect(call).rejects.toThrow('enough')
    }
  })
})

describe('retries', () => {
  test('a creation whose reply was lost is repeated under the same Idempotency-Key', async () => {
    const answers: Answer[] = [
      'drop',
      problem(409, 'idempotency_in_flight', 'It is running.'),
      problem(503, 'unavailable', '', { 'retry-after': '0' }),
      { status: 201, json: { tenant: { id: 'ten_1' } } },
    ]
    const { galley, peer } = await talk((_asked, at) => answers[at - 1]!)
    expect(await galley.request('tenants.create', newTenant)).toEqual({ tenant: { id: 'ten_1' } })
    const keys = peer.asked.map(({ headers }) => headers['idempotency-key'])
    expect(keys).toHaveLength(4)
    expect(new Set(keys).size).toBe(1)
    expect(keys[0]).toMatch(/^[0-9a-f-]{36}$/)
  })

  test('two creations never share an Idempotency-Key', async () => {
    const { galley, peer } = await talk(() => ({ status: 201, json: {} }))
    await galley.request('tenants.create', newTenant)
    await galley.request('tenants.create', newTenant)
    expect(new Set(peer.asked.map(({ headers }) => headers['idempotency-key'])).size).toBe(2)
  })

  test('an inference whose reply was lost is not run again, one that was refused is', async () => {
    const tensor = { name: 'x', datatype: 'FP32', shape: [1], data: [1] } as const
    const input = { inputs: [{ ...tensor, shape: [...tensor.shape], data: [...tensor.data] }] }
    const lost = await talk(() => 'drop')
    expect((await refusal(lost.galley.infer('m', input))).code).toBe('network')
    expect(lost.peer.asked).toHaveLength(1)
    const full = problem(503, 'overloaded', 'The queue is full.')
    const refused = await talk((_asked, at) => (at < 3 ? full : { json: { outputs: [] } }))
    await refused.galley.infer('m', input)
    expect(refused.peer.asked).toHaveLength(3)
  })

  test('end after a fixed number of tries, with the last error', async () => {
    const { galley, peer } = await talk(() => 'drop')
    expect((await refusal(galley.request('models.list'))).code).toBe('network')
    expect(peer.asked).toHaveLength(TRIES_MAX)
  })

  test('never follow a refusal of the request itself', async () => {
    for (const [status, code] of [
      [400, 'invalid_request'],
      [409, 'conflict'],
      [422, 'invalid_body'],
      [500, 'internal'],
    ] as const) {
      const { galley, peer } = await talk(() => problem(status, code, 'No.'))
      expect((await refusal(galley.request('tenants.create', newTenant))).code).toBe(code)
      expect(peer.asked).toHaveLength(1)
    }
  })

  test('wait at least as long as asked, at most the cap, and not at all past a minute', () => {
    const wait = (retryAfterMs: number | undefined, tries: number, random: number) =>
      waitBeforeRetry(new GalleyError('rate_limited', '', { status: 429, retryAfterMs }), {
        tries,
        repeatable: false,
        random: () => random,
      })
    const jitter = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true })
    fc.assert(
      fc.property(
        fc.option(fc.nat(200_000), { nil: undefined }),
        fc.integer({ min: 1, max: 9 }),
        jitter,
        (asked, tries, random) => {
          const ms = wait(asked, tries, random)
          if (tries >= TRIES_MAX || (asked ?? 0) > 60_000) return ms === null
          return ms !== null && ms >= (asked ?? 0) && ms <= (asked ?? 0) + 8_000
        },
      ),
    )
  })
})

describe('a time limit', () => {
  test('ends a call that gets no answer', async () => {
    const { galley } = await talk(() => 'silence')
    const options = { timeoutMs: 30, repeatable: false }
    expect((await refusal(galley.request('models.list', {}, options))).code).toBe('timeout')
  })

  test('of an inference is told to the server', async () => {
    const { galley, peer } = await talk(() => ({ json: { outputs: [] } }))
    await galley.infer('m', { inputs: [] }, { timeoutMs: 2_000, version: 'champion' })
    expect(peer.asked[0]).toMatchObject({
      path: '/v2/models/m/versions/champion/infer',
      headers: { 'galley-timeout-ms': '2000' },
    })
  })
})

test('a listing gives every item once, page after page', async () => {
  const { galley, peer } = await talk(({ path }) => {
    const at = Number(new URL(path, 'http://x').searchParams.get('cursor') ?? 0)
    const next = at < 4 ? String(at + 2) : null
    return { json: { data: [{ seq: at }, { seq: at + 1 }], has_more: !!next, next_cursor: next } }
  })
  const seqs: number[] = []
  for await (const receipt of galley.each('usage.receipts', { query: { limit: 2 } })) {
    seqs.push(receipt.seq)
  }
  expect(seqs).toEqual([0, 1, 2, 3, 4, 5])
  expect(peer.asked.every(({ path }) => path.includes('limit=2'))).toBe(true)
})
