/** Traces of the running product: one request is one tree, from the edge to the engine, and never in its way. */
import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import * as grpc from '@grpc/grpc-js'
import { loadSync } from '@grpc/proto-loader'
import { afterEach, beforeAll, expect, test, vi } from 'vitest'
import { addSub, mlp } from '#tests/models.ts'
import type { Answer, Received } from '#tests/otlp-receiver.ts'
import {
  measures,
  named,
  newTenant,
  ok,
  publish,
  refused,
  type Tenant,
  total,
  upload,
} from '../actions.ts'
import { api, product } from '../product.ts'

const PROTO = fileURLToPath(new URL('../../../schemas/contracts/inference.proto', import.meta.url))
const [SERVER, CONSUMER] = [2, 5]
/** Long enough for any machine: what is waited for is the thing itself. */
const WAIT = { timeout: 60_000, interval: 50 }

let tenant: Tenant
let model: string
let digest: string
beforeAll(async () => {
  tenant = await newTenant()
  model = named('traced')
  ;({ digest } = await publish(model, mlp(Date.now() % 1e9, [2, 3, 1]), { key: tenant.key }))
})
afterEach(() => answer({ status: 200 }))

const hex = (bytes: number) => randomBytes(bytes).toString('hex')
const newTrace = () => ({ traceId: hex(16), spanId: hex(8) })
type Trace = ReturnType<typeof newTrace>
const parentIn = ({ traceId, spanId }: Trace, flags = '01') => `00-${traceId}-${spanId}-${flags}`

const INPUTS = [{ name: 'x', shape: [1, 2], datatype: 'FP32', data: [1, 0] }]
const infer = (headers: Record<string, string>, inputs: unknown = INPUTS) =>
  api('POST', `/v2/models/${model}/infer`, { inputs }, { key: tenant.key, headers })

async function received(): Promise<Received[]> {
  const { otlp } = await product()
  return (await (await fetch(`${otlp}/spans`)).json()) as Received[]
}
async function answer(how: Answer): Promise<void> {
  const { otlp } = await product()
  await fetch(`${otlp}/answer`, { method: 'PUT', body: JSON.stringify(how) })
}
/** The spans of a trace, once these have all come. */
async function spansOf({ traceId }: { traceId: string }, ...names: string[]): Promise<Received[]> {
  return vi.waitFor(async () => {
    const spans = (await received()).filter(span => span.traceId === traceId)
    expect(spans.map(({ name }) => name).toSorted()).toEqual(names.toSorted())
    return spans
  }, WAIT)
}
const by = (spans: Received[], name: string) => spans.find(span => span.name === name)!
const msOf = (nanos: string) => BigInt(nanos) / 1_000_000n

/** To the millisecond where they are of two processes, exactly where they are of one. */
function expectInside(inner: Received, outer: Received): void {
  const of = (nanos: string) => (inner.instance === outer.instance ? BigInt(nanos) : msOf(nanos))
  const times = [outer.startTimeUnixNano, inner.startTimeUnixNano].map(of)
  times.push(...[inner.endTimeUnixNano, outer.endTimeUnixNano].map(of))
  expect(times).toEqual(times.toSorted((a, b) => Number(a - b)))
}

const INFER = 'POST /v2/models/:model/infer'

test('a request with a traceparent is one tree: edge, runner, and in it queue, batch and engine', async () => {
  const trace = newTrace()
  const headers = { traceparent: parentIn(trace), tracestate: 'vendor=1' }
  const reply = await infer(headers)
  expect(reply.status).toBe(200)
  for (const name of ['traceparent', 'tracestate', 'traceresponse']) {
    expect(reply.headers.get(name)).toBeNull()
  }
  const spans = await spansOf(trace, INFER, 'infer', 'queue', 'batch', 'engine')
  const [edge, runner, queue, batch, engine] = [INFER, 'infer', 'queue', 'batch', 'engine'].map(
    name => by(spans, name),
  ) as [Received, Received, Received, Received, Received]
  expect(edge.parentSpanId).toBe(trace.spanId)
  expect(runner.parentSpanId).toBe(edge.spanId)
  expect(queue.parentSpanId).toBe(runner.spanId)
  expect(batch.parentSpanId).toBe(runner.spanId)
  expect(engine.parentSpanId).toBe(batch.spanId)
  expect(new Set(spans.map(({ spanId }) => spanId)).size).toBe(5)
  for (const span of spans) expect([span.name, span.traceState]).toEqual([span.name, 'vendor=1'])
  for (const span of spans) expect([span.name, span.status]).toEqual([span.name, undefined])
  expectInside(runner, edge)
  for (const inner of [queue, batch]) expectInside(inner, runner)
  expectInside(engine, batch)
  expect(BigInt(queue.endTimeUnixNano)).toBeLessThanOrEqual(BigInt(batch.startTimeUnixNano))

  const requestId = reply.headers.get('galley-request-id')
  const common = { 'galley.tenant.id': tenant.id, 'galley.request.id': requestId }
  expect([edge.kind, runner.kind]).toEqual([SERVER, SERVER])
  expect(edge.service).toBe('galley-edge')
  expect(edge.attributes).toMatchObject({
    ...common,
    'http.request.method': 'POST',
    'http.route': '/v2/models/:model/infer',
    'http.response.status_code': 200,
    'url.path': `/v2/models/${model}/infer`,
    'galley.model.name': model,
  })
  expect([runner.service, runner.instance]).toEqual(['galley-runner', 'runner-0'])
  expect(runner.attributes).toMatchObject({
    ...common,
    'galley.model.name': model,
    'galley.model.version': 1,
    'galley.model.digest': digest,
    'galley.rows': 1,
    'galley.receipt.id': reply.headers.get('galley-receipt'),
  })
  expect(batch.attributes).toMatchObject({
    'galley.rows': 1,
    'galley.batch.rows': 1,
    'galley.batch.requests': 1,
    'galley.batch.reason': 'idle',
  })
  expect(engine.attributes['galley.batch.id']).toBe(batch.attributes['galley.batch.id'])
})

test('the log ties a request to its trace, and a batch to its spans', async () => {
  const trace = newTrace()
  const reply = await infer({ traceparent: parentIn(trace) })
  const batch = by(await spansOf(trace, INFER, 'infer', 'queue', 'batch', 'engine'), 'batch')
  const { dataFolder } = await product()
  const lines = (place: string) => readFileSync(join(dataFolder, 'log', `${place}.log`), 'utf8')
  await vi.waitFor(() => {
    const line = lines('edge')
      .split('\n')
      .find(line => line.includes(trace.traceId))
    expect(JSON.parse(line!)).toMatchObject({
      event: 'edge.request',
      request_id: reply.headers.get('galley-request-id'),
      trace_id: trace.traceId,
      tenant: tenant.id,
      route: 'oip.infer',
      status: 200,
    })
    expect(lines('runner')).toContain(`"batch":"${batch.attributes['galley.batch.id']}"`)
  }, WAIT)
})

test('requests that share a batch have a span each in their own traces, with one batch’s id', async () => {
  const traces = Array.from({ length: 16 }, newTrace)
  const replies = await Promise.all(traces.map(trace => infer({ traceparent: parentIn(trace) })))
  expect(replies.map(({ status }) => status)).toEqual(Array(16).fill(200))
  const batches = new Map<unknown, Received[]>()
  for (const trace of traces) {
    const spans = await spansOf(trace, INFER, 'infer', 'queue', 'batch', 'engine')
    const batch = by(spans, 'batch')
    const id = batch.attributes['galley.batch.id']
    batches.set(id, [...(batches.get(id) ?? []), batch])
  }
  for (const shared of batches.values()) {
    expect(new Set(shared.map(span => span.traceId)).size).toBe(shared.length)
    for (const { attributes } of shared) {
      expect(attributes['galley.batch.requests']).toBe(shared.length)
      expect(attributes['galley.batch.rows']).toBe(shared.length)
    }
  }
})

test('what is not sampled, or not of the form of a trace, leaves no span', async () => {
  const [unsampled, malformed, last] = [newTrace(), newTrace(), newTrace()]
  const { traceId, spanId } = malformed
  for (const traceparent of [
    parentIn(unsampled, '00'),
    `00-${traceId.toUpperCase()}-${spanId}-01`,
    `00-${traceId}-${spanId}`,
    `ff-${traceId}-${spanId}-01`,
  ]) {
    expect((await infer({ traceparent })).status).toBe(200)
  }
  await infer({ traceparent: parentIn(last) })
  await spansOf(last, INFER, 'infer', 'queue', 'batch', 'engine')
  const ids = new Set((await received()).map(span => span.traceId))
  expect([unsampled, malformed].filter(each => ids.has(each.traceId))).toEqual([])
})

test('a request that is refused has its code in its span, and is no fault of the product’s', async () => {
  const [unknown, wrong] = [newTrace(), newTrace()]
  const headers = { traceparent: parentIn(unknown) }
  const options = { key: tenant.key, headers }
  const none = named('none')
  await refused('POST', `/v2/models/${none}/infer`, { inputs: [] }, 404, 'not_found', options)
  const [span] = await spansOf(unknown, INFER)
  expect(span!.status).toBeUndefined()
  expect(span!.attributes).toMatchObject({
    'http.response.status_code': 404,
    'error.type': 'not_found',
    'galley.tenant.id': tenant.id,
  })
  expect((await infer({ traceparent: parentIn(wrong) }, [])).status).toBe(400)
  const runner = by(await spansOf(wrong, INFER, 'infer'), 'infer')
  expect([runner.status, runner.attributes['error.type']]).toEqual([undefined, 'invalid_input'])
})

test('a request over gRPC goes on with the trace of its metadata', async () => {
  const pair = named('simple')
  await publish(pair, addSub(), tenant)
  const { grpc: address } = await product()
  const loaded = grpc.loadPackageDefinition(loadSync(PROTO, { keepCase: true, longs: String }))
  const { GRPCInferenceService: Client } = loaded.inference as never as {
    GRPCInferenceService: grpc.ServiceClientConstructor
  }
  const client = new Client(address, grpc.credentials.createInsecure())
  const trace = newTrace()
  const metadata = new grpc.Metadata()
  metadata.set('authorization', `Bearer ${tenant.key}`)
  metadata.set('traceparent', parentIn(trace))
  const inputs = ['INPUT0', 'INPUT1'].map(name => ({ name, datatype: 'INT32', shape: [1, 16] }))
  const raw_input_contents = [Buffer.alloc(64), Buffer.alloc(64)]
  const request = { model_name: pair, inputs, raw_input_contents }
  await new Promise<void>((resolve, reject) => {
    const call = client.ModelInfer as (r: object, m: grpc.Metadata, done: Done) => void
    call.call(client, request, metadata, error => (error ? reject(error) : resolve()))
  })
  client.close()
  const name = 'inference.GRPCInferenceService/ModelInfer'
  const spans = await spansOf(trace, name, 'infer', 'queue', 'batch', 'engine')
  const server = by(spans, name)
  expect(server.parentSpanId).toBe(trace.spanId)
  expect(by(spans, 'infer').parentSpanId).toBe(server.spanId)
  expect(server.attributes).toMatchObject({
    'rpc.system.name': 'grpc',
    'rpc.method': name,
    'rpc.response.status_code': 'OK',
    'galley.tenant.id': tenant.id,
    'galley.model.name': pair,
  })
})
type Done = (error: grpc.ServiceError | null) => void

const dropped = async () => total(await measures(), 'galley_spans_total', 'outcome="failed"')

test.each<[string, Answer]>([
  ['refuses', { status: 500 }],
  ['asks for more time than there is', { status: 503, headers: { 'retry-after': '3600' } }],
])('a receiver that %s changes no reply, and what it loses is counted', async (_, how) => {
  const before = await dropped()
  await answer(how)
  const trace = newTrace()
  const reply = await infer({ traceparent: parentIn(trace) })
  expect(reply.status).toBe(200)
  await vi.waitFor(async () => expect((await dropped()) - before).toBe(5), WAIT)
})

test('a receiver that never answers holds up no reply', async () => {
  await answer(null)
  const traces = Array.from({ length: 20 }, newTrace)
  for (const trace of traces) {
    expect((await infer({ traceparent: parentIn(trace) })).status).toBe(200)
  }
})

test('what the control API answers is a part of the same trace', async () => {
  const trace = newTrace()
  const headers = { traceparent: parentIn(trace) }
  await ok('GET', '/v1/whoami', undefined, { key: tenant.key, headers })
  const name = 'GET /v1/whoami'
  const spans = await spansOf(trace, name, name)
  const [edge, functions] = ['galley-edge', 'galley-functions'].map(of =>
    spans.find(({ service }) => service === of),
  ) as [Received, Received]
  expect(functions).toMatchObject({ name, parentSpanId: edge.spanId })
  expect(functions.kind).toBe(SERVER)
  expectInside(functions, edge)
  expect(functions.attributes['galley.tenant.id']).toBe(tenant.id)
})

test('events that were acknowledged lead from their request to the batch of messages that took them', async () => {
  const { key } = tenant
  const type = named('clicked').replaceAll('-', '_')
  const declared = { fields: { card: { type: 'string' } }, entities: { card: 'card' } }
  await ok('PUT', `/v1/event-types/${type}`, declared, { key })
  const trace = newTrace()
  const headers = { traceparent: parentIn(trace), 'content-type': 'application/cloudevents+json' }
  const event = { specversion: '1.0', id: 'e', source: '/till', type, data: { card: 'c' } }
  expect((await api('POST', '/v1/events', event, { key, headers })).status).toBe(202)
  const batch = await vi.waitFor(async () => {
    const found = (await received()).find(({ links = [] }) =>
      links.some(({ traceId }) => traceId === trace.traceId),
    )
    expect(found).toBeDefined()
    return found!
  }, WAIT)
  expect(batch).toMatchObject({ name: 'process events', kind: CONSUMER })
  expect(['postgresql', 'aws_sqs']).toContain(batch.attributes['messaging.system'])
  const of = await vi.waitFor(async () => {
    const spans = (await received()).filter(({ traceId }) => traceId === trace.traceId)
    const found = [by(spans, 'POST /v1/events'), by(spans, 'POST /internal/events/accept')]
    expect(found).not.toContain(undefined)
    return found
  }, WAIT)
  const [edge, functions] = of as [Received, Received]
  expect(functions.parentSpanId).toBe(edge.spanId)
  expect(batch.links!.map(({ spanId }) => spanId)).toContain(functions.spanId)
})

test('a version’s validation and a job’s steps are parts of the traces that asked for them', async () => {
  const { key } = tenant
  const name = named('put-off')
  const graph = mlp(Date.now() % 1e9, [2, 3, 1])
  const file = { path: 'model.onnx', sha256: await upload(graph, key), size: graph.length }
  const [publishing, working] = [newTrace(), newTrace()]
  const version = { graph: 'model.onnx', files: [file] }
  const published = { key, headers: { traceparent: parentIn(publishing) } }
  const path = `/v1/registry/models/${name}/versions`
  expect((await api('POST', path, version, published)).status).toBe(201)
  const sha256 = await upload(Buffer.from('{"x":[1,0]}\n{"x":[0,1]}\n'), key)
  const asked = { model: name, version: 1, input: { sha256, format: 'jsonl' } }
  const job = { key, headers: { traceparent: parentIn(working) } }
  const { id } = await ok<{ id: string }>('POST', '/v1/jobs', asked, job, 202)
  const worked = (trace: Trace, name: string, atLeast: number) =>
    vi.waitFor(async () => {
      const spans = (await received()).filter(({ traceId }) => traceId === trace.traceId)
      const works = spans.filter(span => span.name === name)
      const askers = works.map(({ parentSpanId }) => spans.find(of => of.spanId === parentSpanId))
      expect(works.length).toBeGreaterThanOrEqual(atLeast)
      for (const asker of askers) expect(asker?.service).toBe('galley-functions')
      return works
    }, WAIT)
  const [validation] = await worked(publishing, 'validate', 1)
  // One makes the shards known, one works on them, one joins what they made.
  const steps = await worked(working, 'step', 3)
  for (const span of [validation!, ...steps]) {
    expect([span.kind, span.service]).toEqual([CONSUMER, 'galley-runner'])
    expect(span.attributes['galley.tenant.id']).toBe(tenant.id)
  }
  for (const { attributes } of steps) expect(attributes['galley.run.id']).toBe(id)
})

test('the call of an object is a part of its decision', async () => {
  const { key } = tenant
  const fields = { card: { type: 'string' }, amount: { type: 'decimal', scale: 2 } }
  const count = { payments: { agg: 'count', window: '1h' } }
  for (const [path, body] of [
    ['event-types/payment', { fields, entities: { card: 'card' } }],
    ['feature-views/velocity', { entity: 'card', event_type: 'payment', features: count }],
    ['feature-services/fraud', { features: ['velocity:*'] }],
    [
      'decision-endpoints/fraud',
      {
        event_type: 'payment',
        gate: 'card',
        service: 'fraud',
        rules: [{ name: 'often', when: 'velocity.payments >= 3', answer: 'decline' }],
        otherwise: 'approve',
      },
    ],
  ] as const) {
    await ok('PUT', `/v1/${path}`, body, { key })
  }
  const trace = newTrace()
  const headers = { traceparent: parentIn(trace) }
  const payment = { id: 'p1', data: { card: 'c', amount: 1 } }
  await ok('POST', '/v1/decisions/fraud', payment, { key, headers })
  const name = 'POST /v1/decisions/:endpoint'
  const spans = await spansOf(trace, name, 'features.decide')
  const [edge, object] = [by(spans, name), by(spans, 'features.decide')]
  expect(object.parentSpanId).toBe(edge.spanId)
  expectInside(object, edge)
})
