/** Inference over gRPC on the running product: the same keys, limits, answers and receipts as over HTTP. */
import { fileURLToPath } from 'node:url'
import * as grpc from '@grpc/grpc-js'
import { loadSync } from '@grpc/proto-loader'
import { afterAll, beforeAll, expect, test } from 'vitest'
import * as models from '#tests/models.ts'
import {
  measures,
  named,
  newTenant,
  ok,
  publish,
  receiptsSettled,
  type Tenant,
  total,
} from '../actions.ts'
import { product } from '../product.ts'

const PROTO = fileURLToPath(new URL('../../../schemas/contracts/inference.proto', import.meta.url))
type Reply = {
  id: string
  model_name: string
  model_version: string
  outputs: { name: string; datatype: string; shape: string[] }[]
  raw_output_contents: Buffer[]
  live: boolean
  ready: boolean
}
type Unary = (request: object, metadata: grpc.Metadata, options: object, done: Done) => void
type Done = (error: grpc.ServiceError | null, reply: Reply) => void
type Stream = grpc.ClientDuplexStream<
  object,
  { error_message: string; infer_response: Partial<Reply> }
>

let tenant: Tenant
let model: string
let client: grpc.Client
beforeAll(async () => {
  tenant = await newTenant()
  model = named('simple')
  await publish(model, models.addSub(), tenant)
  const loaded = grpc.loadPackageDefinition(loadSync(PROTO, { keepCase: true, longs: String }))
  const { GRPCInferenceService: Client } = loaded.inference as never as {
    GRPCInferenceService: grpc.ServiceClientConstructor
  }
  const { grpc: address } = await product()
  client = new Client(address, grpc.credentials.createInsecure())
})
afterAll(() => client.close())

function keyed(key = tenant.key): grpc.Metadata {
  const metadata = new grpc.Metadata()
  metadata.set('authorization', `Bearer ${key}`)
  return metadata
}

/** One call; the headers and trailers that came with it. */
function call(method: string, request: object, metadata = keyed()) {
  return new Promise<Reply & { headers: grpc.Metadata }>((resolve, reject) => {
    const unary = client[method as never] as Unary
    let headers = new grpc.Metadata()
    const asked = unary.call(client, request, metadata, {}, (error, reply) =>
      error ? reject(error) : resolve({ ...reply, headers }),
    ) as never as grpc.ClientUnaryCall
    asked.on('metadata', (given: grpc.Metadata) => {
      headers = given
    })
  })
}

const A = Int32Array.from({ length: 16 }, (_, i) => i)
const B = new Int32Array(16).fill(3)
const bytes = (data: Int32Array) => Buffer.from(data.buffer)
const inputs = ['INPUT0', 'INPUT1'].map(name => ({ name, datatype: 'INT32', shape: [1, 16] }))
const asked = (more = {}) => ({
  model_name: model,
  inputs,
  raw_input_contents: [bytes(A), bytes(B)],
  ...more,
})
const SUM = bytes(A.map((value, i) => value + B[i]!)).toString('hex')

test('health needs no key; all else does, and says so by its code', async () => {
  const nobody = new grpc.Metadata()
  expect((await call('ServerLive', {}, nobody)).live).toBe(true)
  expect((await call('ServerReady', {}, nobody)).ready).toBe(true)
  for (const [method, request] of [
    ['ModelInfer', asked()],
    ['ModelReady', { name: model }],
    ['ModelConfig', { name: model }],
  ] as const) {
    await expect(call(method, request, nobody)).rejects.toMatchObject({
      code: grpc.status.UNAUTHENTICATED,
    })
  }
})

test('raw and typed contents give the same answer, and its receipt is in the ledger', async () => {
  const typed = asked({
    raw_input_contents: [],
    inputs: inputs.map((input, i) => ({
      ...input,
      contents: { int_contents: [...(i === 0 ? A : B)] },
    })),
  })
  const receipts: string[] = []
  for (const request of [asked({ id: 'call 7' }), { ...typed, id: 'call 7' }]) {
    const reply = await call('ModelInfer', request)
    expect([reply.id, reply.model_name, reply.model_version]).toEqual(['call 7', model, '1'])
    expect(reply.raw_output_contents[0]!.toString('hex')).toBe(SUM)
    expect(reply.outputs[0]).toMatchObject({ name: 'OUTPUT0', datatype: 'INT32' })
    receipts.push(String(reply.headers.get('galley-receipt')[0]))
  }
  const stored = await receiptsSettled(tenant.key, 2)
  expect(stored.map(({ id }) => id)).toEqual(expect.arrayContaining(receipts))
})

test('calls stand in the measures as requests do, by route, protocol and answer', async () => {
  const ofGrpc = ['route="oip.infer"', 'protocol="grpc"']
  const counted = async () => {
    const text = await measures()
    const count = (...labels: string[]) =>
      total(text, 'galley_requests_total', ...ofGrpc, ...labels)
    return [count('code="200"'), count('code="404"'), count('code="401"')]
  }
  const before = await counted()
  await call('ModelInfer', asked())
  await expect(call('ModelInfer', asked({ model_name: named('none') }))).rejects.toThrow()
  await expect(call('ModelInfer', asked(), new grpc.Metadata())).rejects.toThrow()
  const after = await counted()
  for (const [i, count] of after.entries()) expect(count - before[i]!).toBeGreaterThanOrEqual(1)
  const text = await measures()
  expect(total(text, 'galley_request_seconds_count', ...ofGrpc)).toBeGreaterThanOrEqual(3)
})

test('another tenant’s model is answered as one that never existed', async () => {
  const spy = await newTenant()
  const errorOf = (request: object) => call('ModelInfer', request, keyed(spy.key)).catch(e => e)
  const foreign = await errorOf(asked())
  const never = await errorOf(asked({ model_name: `${model}x` }))
  expect(foreign.code).toBe(grpc.status.NOT_FOUND)
  expect(foreign.details).toBe(never.details.replace(`${model}x`, model))
  expect((await call('ModelReady', { name: model }, keyed(spy.key))).ready).toBe(false)
})

test('a key that is revoked is refused as soon as its edge has heard of it', async () => {
  const made = await ok<{ id: string; key: string }>(
    'POST',
    '/v1/keys',
    { name: 'short', scopes: ['infer'] },
    { key: tenant.key },
    201,
  )
  await call('ModelInfer', asked(), keyed(made.key))
  await ok('DELETE', `/v1/keys/${made.id}`, undefined, { key: tenant.key })
  await expect
    .poll(() => call('ModelInfer', asked(), keyed(made.key)).catch(e => e.code), {
      timeout: 20_000,
    })
    .toBe(grpc.status.UNAUTHENTICATED)
})

test('a message that is too large is RESOURCE_EXHAUSTED', async () => {
  const large = asked({ raw_input_contents: [Buffer.alloc(66 * 2 ** 20), bytes(B)] })
  await expect(call('ModelInfer', large)).rejects.toMatchObject({
    code: grpc.status.RESOURCE_EXHAUSTED,
  })
})

test('without a key that works a message is refused before it is read', async () => {
  const large = asked({ raw_input_contents: [Buffer.alloc(66 * 2 ** 20), bytes(B)] })
  // Read, it would be too large.
  await expect(call('ModelInfer', large, new grpc.Metadata())).rejects.toMatchObject({
    code: grpc.status.UNAUTHENTICATED,
  })
  await expect(call('ModelInfer', asked())).resolves.toMatchObject({ model_name: model })
})

test('an answer is kept where the model’s tenant says so, its receipt is of its own kind, and who wants a fresh one gets it', async () => {
  const cached = named('cached')
  await publish(cached, models.addSub(), tenant)
  const { key } = tenant
  await ok('PUT', `/v1/registry/models/${cached}/serving`, { cache: { ttl_s: 600 } }, { key })
  const statusOf = ({ headers }: { headers: grpc.Metadata }) => headers.get('cache-status')[0]
  const ask = (metadata = keyed()) => call('ModelInfer', asked({ model_name: cached }), metadata)
  // Another process than the one that was told may know of it seconds later.
  const isKept = async () => String(statusOf(await ask()))
  await expect.poll(isKept, { timeout: 20_000, interval: 500 }).toMatch(/^galley; hit/)
  const hit = await ask()
  expect(hit.raw_output_contents[0]!.toString('hex')).toBe(SUM)
  const receipt = String(hit.headers.get('galley-receipt')[0])
  const kindOf = async () => {
    const { data } = await ok<{ data: { id: string; kind: string }[] }>(
      'GET',
      '/v1/receipts?limit=1000',
      undefined,
      { key },
    )
    return data.find(({ id }) => id === receipt)?.kind
  }
  await expect.poll(kindOf, { timeout: 20_000 }).toBe('cached')
  const fresh = keyed()
  fresh.set('cache-control', 'no-cache')
  expect(statusOf(await ask(fresh))).toBe('galley; fwd=request; stored')
})

test('a stream answers each request once, in order, and goes on after one that failed', async () => {
  const stream = (client['ModelStreamInfer' as never] as (m: grpc.Metadata) => Stream).call(
    client,
    keyed(),
  )
  const replies: { id: string | undefined; failed: boolean }[] = []
  stream.on('data', ({ error_message: error, infer_response: reply }) =>
    replies.push({ id: reply?.id, failed: Boolean(error) }),
  )
  const ended = new Promise<grpc.StatusObject>(resolve => stream.on('status', resolve))
  for (let i = 0; i < 600; i++) {
    stream.write(asked({ id: String(i), ...(i % 7 === 3 && { model_name: 'nowhere' }) }))
  }
  stream.end()
  expect((await ended).code).toBe(grpc.status.OK)
  expect(replies).toEqual(
    Array.from({ length: 600 }, (_, i) => ({ id: String(i), failed: i % 7 === 3 })),
  )
})
