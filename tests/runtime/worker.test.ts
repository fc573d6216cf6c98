/** The edge as it is deployed: wrangler's bundle in workerd, over loopback to what stands behind it. */
import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { type ClientRequest, request as httpRequest } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import type { Departure, InferenceCall, InferenceReply } from '#core/deps.ts'
import { AppError } from '#core/error.ts'
import { mint } from '#core/tenants/api-key.ts'
import { type Bundle, bundleWorker, GZIP_BYTES_MAX } from '#local/workerd/bundle.ts'
import { startWorkerd, type Workerd } from '#local/workerd/instance.ts'
import { folderBlobs } from '#platform/blob/folder.ts'
import { openApiDocument } from '#schemas/openapi.ts'
import { startUpstream, type Upstream } from './worker-upstream.ts'

const folder = mkdtempSync(join(tmpdir(), 'galley-worker-'))
const faults: Record<string, unknown>[] = []
let bundle: Bundle
let upstream: Upstream
let edge: Workerd
let answer: (call: InferenceCall, departure: Departure | null) => Promise<InferenceReply>

beforeAll(async () => {
  const router = {
    infer: (call: InferenceCall, departure: Departure | null) => answer(call, departure),
    load: async () => ({ runners: 1 }),
    unload: async () => {},
    statistics: async () => ({ runners: [], models: [] }),
    ready: async () => true,
  }
  upstream = await startUpstream({ router, blobs: folderBlobs({ root: join(folder, 'blobs') }) })
  bundle = await bundleWorker(join(folder, 'bundle'))
  edge = await start()
}, 60_000)
beforeEach(() => {
  answer = async ({ body, jsonLength }) => ({ body, jsonLength, receiptId: 'rct_1', computeUs: 5 })
})
afterAll(async () => {
  await edge.close()
  await upstream.close()
  rmSync(folder, { recursive: true, force: true })
})

function start(): Promise<Workerd> {
  const { origin, edgeKey } = upstream
  return startWorkerd({
    bundle,
    host: '127.0.0.1',
    port: 0,
    folder: join(folder, 'objects'),
    temporaryFolder: join(folder, 'temporary'),
    bindings: {
      FUNCTIONS_URL: origin,
      ROUTER_URL: origin,
      BLOBS_URL: origin,
      EDGE_KEY: edgeKey,
      FUNCTIONS_KEY: 'A'.repeat(43),
      PARTITIONS_PER_OBJECT: '64',
    },
    log: { info() {}, error: (event, fields) => faults.push({ event, ...fields }) },
  })
}

/** An isolate that remembers nothing; KV and objects stay. */
async function restart(): Promise<void> {
  await edge.close()
  edge = await start()
}

function ask(path: string, init: RequestInit & { key?: string } = {}): Promise<Response> {
  const headers = new Headers(init.headers)
  headers.set('authorization', `Bearer ${init.key ?? upstream.key.key}`)
  return fetch(edge.url + path, { ...init, headers })
}

const infer = (body: Uint8Array | string, headers: Record<string, string> = {}) =>
  ask('/v2/models/m/infer', { method: 'POST', body: body as Uint8Array<ArrayBuffer>, headers })

test('the bundle is within its budget', () => {
  expect(bundle.gzipBytes).toBeLessThanOrEqual(GZIP_BYTES_MAX)
})

test('it says that it is live, describes its API, and knows what it does not have', async () => {
  expect(await (await fetch(`${edge.url}/health/live`)).json()).toEqual({ live: true })
  expect((await fetch(`${edge.url}/health/ready`)).status).toBe(200)
  const described = await (await fetch(`${edge.url}/openapi.json`)).json()
  expect(described).toEqual(JSON.parse(JSON.stringify(openApiDocument())))
  const nothing = await fetch(`${edge.url}/nothing`)
  expect([nothing.status, await nothing.json()]).toMatchObject([404, { code: 'not_found' }])
})

test('no key, a mistyped one and an unknown one are refused, the last two alike', async () => {
  const without = await fetch(`${edge.url}/v1/keys`)
  expect([without.status, without.headers.get('www-authenticate')]).toEqual([401, 'Bearer'])
  const mistyped = await ask('/v1/keys', { key: `${upstream.key.key.slice(0, -1)}!` })
  const unknown = await ask('/v1/keys', { key: (await mint()).key })
  const bodies = await Promise.all(
    [mistyped, unknown].map(async r => ({ ...((await r.json()) as object), request_id: 0 })),
  )
  expect(mistyped.status).toBe(401)
  expect(bodies[0]).toEqual(bodies[1])
})

test("a caller's request reaches the functions signed, with who asks, and comes back as it is", async () => {
  upstream.replies.set('POST /v1/keys', { made: true })
  const body = JSON.stringify({ name: 'n', scopes: ['infer'] })
  const reply = await ask('/v1/keys', { method: 'POST', body, headers: { 'idempotency-key': 'i' } })
  expect(await reply.json()).toEqual({ made: true })
  const { claims } = upstream.asked.findLast(({ path }) => path === '/v1/keys')!
  expect(claims).toMatchObject({ from: 'edge', method: 'POST', path: '/v1/keys' })
  expect(claims.call!.caller).toMatchObject({ project: 'p', tags: { a: 'b' } })
  expect(claims.seal).toBeTypeOf('string')
})

test('an inference is carried byte by byte, with what the router must know', async () => {
  let seen: InferenceCall | undefined
  answer = async call => {
    seen = call
    return { body: call.body.slice().reverse(), jsonLength: 7, receiptId: 'rct_7', computeUs: 5 }
  }
  for (const size of [0, 1, 1_000, 5_000_000]) {
    const bytes = randomBytes(size)
    const reply = await infer(bytes, {
      'inference-header-content-length': '3',
      'galley-timeout-ms': '9000',
    })
    expect([reply.status, reply.headers.get('galley-receipt')]).toEqual([200, 'rct_7'])
    expect(reply.headers.get('inference-header-content-length')).toBe('7')
    expect(Buffer.from(await reply.arrayBuffer()).equals(bytes.reverse())).toBe(true)
    expect(seen).toMatchObject({
      jsonLength: 3,
      model: upstream.model,
      call: { caller: { project: 'p' } },
    })
    expect(Math.abs(seen!.deadline - Date.now() - 9_000)).toBeLessThan(9_000)
  }
})

test('a router that was started again is told of the model, and nothing fails', async () => {
  await infer('{}')
  upstream.restartRouter()
  const replies = await Promise.all(Array.from({ length: 20 }, () => infer('{}')))
  expect(replies.map(reply => reply.status)).toEqual(replies.map(() => 200))
})

test("the router's errors arrive whole", async () => {
  answer = async () => {
    throw new AppError('overloaded', { public: 'Full.', retryAfterS: 3 })
  }
  const reply = await infer('{}')
  expect([reply.status, reply.headers.get('retry-after')]).toEqual([503, '3'])
  expect(await reply.json()).toMatchObject({ code: 'overloaded', detail: 'Full.' })
})

test('a router that hangs past the deadline costs one answer, not the caller its patience', async () => {
  answer = () => new Promise(() => {})
  const reply = await infer('{}', { 'galley-timeout-ms': '1' })
  expect([reply.status, await reply.json()]).toMatchObject([504, { code: 'deadline_exceeded' }])
})

test('the router hears that a caller has gone', async () => {
  const departed = Promise.withResolvers<void>()
  const arrived = Promise.withResolvers<void>()
  answer = (_, departure) => {
    departure!.addEventListener('abort', () => departed.resolve())
    arrived.resolve()
    return new Promise(() => {})
  }
  const caller = openRequest('POST', '/v2/models/m/infer')
  await arrived.promise
  leave(caller)
  await departed.promise
})

test('who waits for what another looked up gets it, though the other has gone', async () => {
  await restart()
  const open = Promise.withResolvers<void>()
  upstream.gates.set('/internal/keys', open.promise)
  const asked = upstream.asked.length
  const first = openRequest('GET', '/v1/keys')
  while (!upstream.asked.slice(asked).some(({ path }) => path === '/internal/keys')) await tick()
  const second = ask('/v1/keys')
  await tick(100)
  leave(first)
  await tick(100)
  open.resolve()
  upstream.gates.clear()
  expect((await second).status).toBe(200)
  const looked = upstream.asked.slice(asked).filter(({ path }) => path === '/internal/keys')
  expect(looked).toHaveLength(1)
})

test('a stop lets the requests under way end', async () => {
  const arrived = Promise.withResolvers<void>()
  const open = Promise.withResolvers<void>()
  answer = async ({ body, jsonLength }) => {
    arrived.resolve()
    await open.promise
    return { body, jsonLength, receiptId: 'rct_1', computeUs: 5 }
  }
  const reply = infer('{"x":1}')
  await arrived.promise
  const restarted = restart()
  await tick(100)
  open.resolve()
  expect(await (await reply).text()).toBe('{"x":1}')
  await restarted
})

test('parts and results pass through, in order and without being held whole', async () => {
  const bytes = randomBytes(8 * 1024 ** 2)
  const grant = { uploadKey: 'ten_x/upload', number: 1, sizeMax: bytes.length }
  upstream.replies.set('PUT /v1/uploads/upl_x/parts/1', grant)
  const part = await ask('/v1/uploads/upl_x/parts/1', { method: 'PUT', body: bytes })
  expect(await part.json()).toMatchObject({ number: 1, size: bytes.length })
  const blobs = folderBlobs({ root: join(folder, 'blobs') })
  const [{ sha256 } = { sha256: '' }] = await blobs.listParts('ten_x/upload')
  await blobs.completeUpload('ten_x/upload', 'ten_x/results', { size: bytes.length, sha256 })
  const result = { key: 'ten_x/results', size: bytes.length, format: 'jsonl' }
  upstream.replies.set('GET /v1/jobs/run_x/results', result)
  const whole = await ask('/v1/jobs/run_x/results')
  expect(Buffer.from(await whole.arrayBuffer()).equals(bytes)).toBe(true)
  const piece = await ask('/v1/jobs/run_x/results', { headers: { range: 'bytes=5-9' } })
  expect(piece.status).toBe(206)
  expect(Buffer.from(await piece.arrayBuffer()).equals(bytes.subarray(5, 10))).toBe(true)
})

test('nothing went wrong besides', () => {
  const provoked = ['overloaded', 'deadline_exceeded']
  expect(faults.filter(({ code }) => !provoked.includes(String(code)))).toEqual([])
})

function openRequest(method: string, path: string): ClientRequest {
  const headers = { authorization: `Bearer ${upstream.key.key}` }
  const request = httpRequest(edge.url + path, { method, headers })
  request.on('error', () => {})
  request.end(method === 'POST' ? '{}' : undefined)
  return request
}

/** With a reset: of a connection that is only half closed, workerd expects that its caller still reads. */
function leave(request: ClientRequest): void {
  request.socket!.resetAndDestroy()
}

function tick(ms = 10): Promise<void> {
  return new Promise(resolve => setTimeout(resolve, ms))
}
