/** Spans of functions, which are frozen with their reply: in one trace with the edge, sent before it, and never in its way. */
import { randomBytes } from 'node:crypto'
import { afterAll, beforeAll, expect, inject, test, vi } from 'vitest'
import { type Received, startReceiver } from '#tests/otlp-receiver.ts'
import { callerOf, firstKey, tenantIn } from './caller.ts'
import { type Cloud, startCloud, TRACES_KEY } from './cloud.ts'
import { type Gateway, serveGateway } from './gateway.ts'
import { handOver, sqsEvent } from './messages.ts'

/** Of the exporter alone; far more than a flush may take, and than the functions of these tests live. */
const PATIENT = { OTEL_EXPORTER_OTLP_TIMEOUT: '60000' }
const LIMIT_S = 15
const [SERVER, CONSUMER] = [2, 5]
const WAIT = { timeout: 30_000 }

let cloud: Cloud
let gateway: Gateway
let receiver: Awaited<ReturnType<typeof startReceiver>>
let told: Record<string, string>
beforeAll(async () => {
  cloud = await startCloud(inject('bundles'))
  await (await cloud.start('migrate')).invoke({})
  receiver = await startReceiver()
  told = {
    OTEL_EXPORTER_OTLP_ENDPOINT: receiver.url,
    GALLEY_TRACE_HEADERS_SECRET_ARN: cloud.tracesSecretArn,
  }
  gateway = await serveGateway()
})
afterAll(async () => {
  await gateway.close()
  await receiver.close()
  await cloud.close()
})

const hex = (bytes: number) => randomBytes(bytes).toString('hex')
const newTrace = () => ({ traceId: hex(16), spanId: hex(8) })
const spansOf = ({ traceId }: { traceId: string }) =>
  receiver.spans().filter(span => span.traceId === traceId)
const by = (spans: Received[], service: string, name: string) =>
  spans.find(span => span.service === service && span.name === name)!

test('a request is one trace from the edge through the functions to the batch of messages that it asked for', async () => {
  const { url } = await cloud.startEdge(gateway.url, { OTEL_EXPORTER_OTLP_ENDPOINT: receiver.url })
  gateway.add(await cloud.start('api', told))
  const authorization = `Bearer ${await firstKey(gateway.url)}`
  const send = (method: string, path: string, body: unknown, more: Record<string, string>) => {
    const headers = { authorization, 'content-type': 'application/json', ...more }
    return fetch(url + path, { method, headers, body: JSON.stringify(body) })
  }
  const [declaring, sending] = [newTrace(), newTrace()]
  const at = ({ traceId, spanId }: typeof sending) => `00-${traceId}-${spanId}-01`
  const type = { fields: { card: { type: 'string' } }, entities: { card: 'card' } }
  const declared = { traceparent: at(declaring) }
  expect((await send('PUT', '/v1/event-types/payment', type, declared)).ok).toBe(true)
  const event = { specversion: '1.0', id: 'e', source: '/till', type: 'payment' }
  const sent = await send('POST', '/v1/events', [{ ...event, data: { card: 'c' } }], {
    'content-type': 'application/cloudevents-batch+json',
    traceparent: at(sending),
    tracestate: 'vendor=1',
  })
  expect(sent.status).toBe(202)
  const reader = await cloud.start('ingest', told)
  expect(await handOver(cloud, 'events', reader)).toMatchObject({ size: 1 })
  // Of the functions they are there: only the edge gathers its own.
  expect(spansOf(declaring).filter(({ service }) => service === 'galley-functions')).toHaveLength(1)
  await vi.waitFor(() => {
    expect([spansOf(declaring), spansOf(sending)].map(({ length }) => length)).toEqual([2, 3])
  }, WAIT)

  const route = 'PUT /v1/event-types/:type'
  const ofEdge = by(spansOf(declaring), 'galley-edge', route)
  const ofApi = by(spansOf(declaring), 'galley-functions', route)
  expect(ofApi.parentSpanId).toBe(ofEdge.spanId)
  expect(ofApi.kind).toBe(SERVER)
  expect(ofApi.attributes).toMatchObject({
    'galley.request.id': ofEdge.attributes['galley.request.id'],
    'http.response.status_code': ofEdge.attributes['http.response.status_code'],
    'faas.trigger': 'http',
    'faas.invocation_id': expect.stringMatching(/./),
  })
  expect(ofApi.resource).toMatchObject({
    'cloud.platform': 'aws_lambda',
    'faas.name': 'galley-test-api',
  })
  const spans = spansOf(sending)
  const edge = by(spans, 'galley-edge', 'POST /v1/events')
  const accepted = by(spans, 'galley-functions', 'POST /internal/events/accept')
  const batch = by(spans, 'galley-functions', 'process events')
  expect(edge.parentSpanId).toBe(sending.spanId)
  expect(accepted.parentSpanId).toBe(edge.spanId)
  expect(batch.parentSpanId).toBe(accepted.spanId)
  expect(batch.links).toMatchObject([{ traceId: sending.traceId, spanId: accepted.spanId }])
  for (const span of spans) expect([span.name, span.traceState]).toEqual([span.name, 'vendor=1'])
  expect(batch.kind).toBe(CONSUMER)
  expect(batch.attributes).toMatchObject({
    'messaging.system': 'aws_sqs',
    'messaging.destination.name': 'events',
    'messaging.batch.message_count': 1,
    'faas.trigger': 'pubsub',
    'faas.coldstart': true,
  })
  const [headers] = receiver.exported.flatMap(({ headers, spans }) =>
    spans.some(({ spanId }) => spanId === batch.spanId) ? [headers] : [],
  )
  expect(headers!.authorization).toBe(TRACES_KEY)
})

test('messages of several traces are worked on in a trace of its own, which names them all', async () => {
  const host = await cloud.start('ingest', told)
  const { tenantId } = await tenantIn(cloud)
  const traces = [newTrace(), newTrace()]
  const bodies = [...traces, undefined, { traceId: 'none', spanId: 7 }].map(trace =>
    JSON.stringify({ tenantId, events: [], trace }),
  )
  const records = [...bodies, '{"trace":', 'null'].map((body, i) => ({
    messageId: `m${i}`,
    receiptHandle: `r${i}`,
    body,
  }))
  const failures = ['m4', 'm5'].map(itemIdentifier => ({ itemIdentifier }))
  expect(await host.invoke(sqsEvent(records))).toEqual({ value: { batchItemFailures: failures } })
  const span = receiver.spans().find(({ links }) => links?.length === 2)!
  expect(span.parentSpanId).toBeUndefined()
  expect(span.links).toMatchObject(traces)
  expect(span.status).toMatchObject({ message: 'message_failed' })
  expect(span.attributes).toMatchObject({
    'messaging.batch.message_count': 6,
    'galley.messages.failed': 2,
  })
})

test('what the clock calls is a trace of its own, and says when it failed', async () => {
  const cut = await cloud.start('tend', { ...told, GALLEY_DATABASE_HOST: '/nowhere' }, 60)
  expect(await cut.invoke({ at: '2026-11-30T12:02:00Z' })).toHaveProperty('fault')
  const [span] = receiver.spans().filter(({ name }) => name === 'tend')
  expect(span).toMatchObject({ service: 'galley-functions', status: { message: 'internal' } })
  expect(span!.parentSpanId).toBeUndefined()
  expect(span!.attributes).toMatchObject({ 'faas.trigger': 'timer', 'error.type': 'internal' })
})

test('of every traced request the span is there with its reply, the process frozen again and again', async () => {
  const host = await cloud.start('api', told)
  const ask = await callerOf(host, (await tenantIn(cloud)).tenantId)
  for (let round = 0; round < 5; round++) {
    const trace = newTrace()
    expect((await ask('GET', '/v1/keys', { trace })).status).toBe(200)
    expect(host.isFrozen()).toBe(true)
    expect(spansOf(trace)).toMatchObject([{ name: 'GET /v1/keys', parentSpanId: trace.spanId }])
  }
  const before = receiver.exported.length
  expect((await ask('GET', '/v1/keys')).status).toBe(200)
  expect(receiver.exported).toHaveLength(before)
})

test('a receiver that is down, or never answers, loses spans that are counted, and no reply', async () => {
  const { tenantId } = await tenantIn(cloud)
  const deaf = await startReceiver()
  deaf.answer(() => null)
  const gone = await startReceiver()
  await gone.close()
  for (const { url } of [deaf, gone]) {
    const env = { OTEL_EXPORTER_OTLP_ENDPOINT: url, ...PATIENT }
    // Whoever waits for the receiver is killed before it has given up.
    const host = await cloud.start('api', env, LIMIT_S)
    const ask = await callerOf(host, tenantId)
    for (let round = 1; round <= 3; round++) {
      expect((await ask('GET', '/v1/keys', { trace: newTrace() })).status).toBe(200)
      expect(host.output()).toContain(`"spans":1,"since":${round}`)
    }
    expect(host.output().match(/traces\.not_sent/g)).toHaveLength(1)
  }
  // It has used a reply's time up once: the next ones do not give it theirs.
  expect(deaf.exported).toHaveLength(1)
  await deaf.close()
})

test('what is malformed, or a secret without a value, ends the start with its name and tells no secret', async () => {
  const wrong = await cloud.start('api', { ...told, OTEL_TRACES_SAMPLER: 'sometimes' })
  await expect(wrong.initMs).rejects.toThrow('OTEL_TRACES_SAMPLER is "sometimes"; it must be')
  const empty = { ...told, GALLEY_TRACE_HEADERS_SECRET_ARN: cloud.emptySecretArn }
  await expect((await cloud.start('api', empty)).initMs).rejects.toThrow(cloud.emptySecretArn)
  const no = { ...told, GALLEY_TRACE_HEADERS_SECRET_ARN: cloud.shortSecretArn }
  const shapeless = await cloud.start('api', no)
  const said = await shapeless.initMs.catch(String)
  expect(said).toContain('OTEL_EXPORTER_OTLP_HEADERS has an entry 1 that is not name=value')
  expect(said + shapeless.output()).not.toContain('hunter2')
})
