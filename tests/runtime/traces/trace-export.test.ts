/** Spans on their way out: in OTLP's form, once each, and whatever the receiver does nobody waits for it. */
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { Registry } from '#platform/metrics/registry.ts'
import type { TraceSettings } from '#platform/traces/settings.ts'
import { openTracer, spanOutcomes } from '#platform/traces/tracer.ts'
import { handClock } from '#tests/caller.ts'
import { startReceiver } from '#tests/otlp-receiver.ts'

let receiver: Awaited<ReturnType<typeof startReceiver>>
const errors: unknown[] = []
beforeEach(async () => {
  receiver = await startReceiver()
  errors.length = 0
})
afterEach(() => receiver.close())

function open(
  more: Partial<TraceSettings> = {},
  clock = { now: () => Date.now() },
  fetching = (url: string, init: RequestInit) => fetch(url, init),
) {
  const registry = new Registry()
  const tracer = openTracer(
    {
      fetch: fetching,
      clock,
      log: { info() {}, error: (event, fields) => errors.push({ event, ...fields }) },
      background: work => void work,
      outcomes: spanOutcomes(registry),
    },
    {
      url: `${receiver.url}/v1/traces`,
      headers: { 'x-key': 'k' },
      timeoutMs: 5_000,
      serviceName: 'galley-edge',
      resource: { 'deployment.environment.name': 'test' },
      sampler: { ratio: 1, followsParent: true },
      ...more,
    },
    'edge-0',
  )!
  const outcomes = () => {
    const [family] = registry.snapshot()
    return Object.fromEntries(family!.series.map(([[outcome], count]) => [outcome, count]))
  }
  return { tracer, outcomes }
}
type Opened = ReturnType<typeof open>
const record = ({ tracer }: Opened, name = 'n') =>
  tracer.end(tracer.begin(undefined)!, { name, kind: 'server', attributes: {} })
const WAIT = { timeout: 30_000 }

test('a trace leaves in OTLP’s JSON, with its parents, its times and its attributes as they were', async () => {
  const { tracer, outcomes } = open()
  const [traceId, spanId] = ['a'.repeat(32), 'b'.repeat(16)]
  const server = tracer.begin(`00-${traceId}-${spanId}-01`)!
  server.context.state = 'v=1'
  const child = tracer.child(server.context)
  const attributes = { text: 't', whole: 200, part: 0.5, yes: true }
  tracer.end(child, { name: 'inside', kind: 'internal', attributes, fault: 'unavailable' })
  tracer.end(server, { name: 'POST /x', kind: 'server', attributes: {} })
  await tracer.close(5_000)

  const [{ headers, path, spans }] = receiver.exported as [(typeof receiver.exported)[0]]
  expect(receiver.exported).toHaveLength(1)
  expect([path, headers['content-type'], headers['x-key']]).toEqual([
    '/v1/traces',
    'application/json',
    'k',
  ])
  const [inside, outside] = spans
  expect(outside).toMatchObject({
    service: 'galley-edge',
    instance: 'edge-0',
    resource: { 'deployment.environment.name': 'test', 'service.namespace': 'galley' },
    traceId,
    parentSpanId: spanId,
    traceState: 'v=1',
    name: 'POST /x',
    kind: 2,
  })
  expect(outside!.status).toBeUndefined()
  expect(inside).toMatchObject({
    traceId,
    parentSpanId: outside!.spanId,
    traceState: 'v=1',
    kind: 1,
    status: { code: 2, message: 'unavailable' },
    attributes,
  })
  const times = [outside, inside, inside, outside].map((span, i) =>
    BigInt(i < 2 ? span!.startTimeUnixNano : span!.endTimeUnixNano),
  )
  expect(times).toEqual(times.toSorted((a, b) => (a < b ? -1 : a > b ? 1 : 0)))
  expect(outcomes()).toEqual({ sent: 2 })
})

test('a trace that nobody has begun begins here, without a parent', async () => {
  const opened = open()
  record(opened)
  await opened.tracer.close(5_000)
  const [span] = receiver.spans()
  expect(span!.traceId).toMatch(/^[0-9a-f]{32}$/)
  expect(span!.parentSpanId).toBeUndefined()
})

test('what a caller does not sample is no span', () => {
  const { tracer } = open()
  expect(tracer.begin(`00-${'a'.repeat(32)}-${'b'.repeat(16)}-00`)).toBeNull()
})

test.each([429, 502, 503, 504])('%i is tried again after as long as it asks for', async status => {
  const opened = open()
  let tries = 0
  receiver.answer(() =>
    ++tries === 1 ? { status, headers: { 'retry-after': '0' } } : { status: 200 },
  )
  record(opened)
  await vi.waitFor(() => expect(opened.outcomes()).toEqual({ sent: 1 }), WAIT)
  expect(tries).toBe(2)
})

test('500 is not tried again: its spans are dropped, counted and told of once', async () => {
  const opened = open()
  receiver.answer(() => ({ status: 500 }))
  record(opened)
  await vi.waitFor(() => expect(opened.outcomes()).toEqual({ failed: 1 }), WAIT)
  record(opened)
  await vi.waitFor(() => expect(opened.outcomes()).toEqual({ failed: 2 }), WAIT)
  expect(receiver.exported).toHaveLength(2)
  expect(errors).toEqual([{ event: 'traces.not_sent', spans: 1, error: 'status 500' }])
})

test('a receiver that asks for more time than there is loses the spans, and holds up nothing', async () => {
  const opened = open()
  receiver.answer(() => ({ status: 503, headers: { 'retry-after': '3600' } }))
  record(opened)
  await vi.waitFor(() => expect(opened.outcomes()).toEqual({ failed: 1 }), WAIT)
})

test('what a receiver takes in part is counted in part', async () => {
  const opened = open()
  receiver.answer(() => ({
    status: 200,
    body: JSON.stringify({ partialSuccess: { rejectedSpans: '1', errorMessage: 'no' } }),
  }))
  record(opened)
  record(opened)
  await opened.tracer.close(5_000)
  expect(opened.outcomes()).toEqual({ sent: 1, rejected: 1 })
})

test('beyond the bound spans are dropped and counted, while one that never answers holds the rest', async () => {
  const opened = open()
  receiver.answer(() => null)
  for (let i = 0; i < 9_000; i++) record(opened)
  expect(opened.outcomes()).toEqual({ full: 9_000 - 8_192 })
  await opened.tracer.close(0)
})

test('what is left is sent when it closes, and nothing is taken any more', async () => {
  const opened = open()
  for (let i = 0; i < 700; i++) record(opened, `n${i}`)
  await opened.tracer.close(5_000)
  expect(new Set(receiver.spans().map(({ name }) => name)).size).toBe(700)
  expect(receiver.spans()).toHaveLength(700)
  record(opened)
  expect(opened.outcomes()).toEqual({ sent: 700, full: 1 })
})

test('a try that hangs ends with the time that all of them have, though it alone might take longer', async () => {
  let looks = 0
  // The third look is how long the try may take.
  const clock = { now: () => (++looks < 3 ? 0 : 19_950) }
  const opened = open({ timeoutMs: 60_000 }, clock)
  receiver.answer(() => null)
  record(opened)
  await opened.tracer.close(30_000)
  expect(opened.outcomes()).toEqual({ failed: 1 })
})

test('after a flush nothing is under way: what went is counted as sent, what did not as lost', async () => {
  const opened = open()
  const { tracer, outcomes } = opened
  record(opened)
  await tracer.flush(5_000)
  expect([receiver.spans().length, outcomes()]).toEqual([1, { sent: 1 }])
  await tracer.flush(5_000)
  expect(receiver.exported).toHaveLength(1)
  receiver.answer(() => ({ status: 503 }))
  record(opened)
  await tracer.flush(5_000)
  // There is no time to try again.
  expect([receiver.exported.length, outcomes()]).toEqual([2, { sent: 1, failed: 1 }])
})

test('a receiver that used a flush up is not waited for again, until it has had time', async () => {
  const clock = handClock()
  const opened = open({}, clock)
  receiver.answer(() => null)
  record(opened)
  await opened.tracer.flush(20)
  record(opened)
  await opened.tracer.flush(60_000)
  expect([receiver.exported.length, opened.outcomes()]).toEqual([1, { failed: 2 }])
  receiver.answer(() => ({ status: 200 }))
  clock.forward(10_000)
  record(opened)
  await opened.tracer.flush(60_000)
  expect(opened.outcomes()).toEqual({ failed: 2, sent: 1 })
})

test('a connection that was cut without a word costs a flush a second try, and no span', async () => {
  let tries = 0
  const opened = open({}, undefined, (url, init) =>
    ++tries === 1 ? Promise.reject(new TypeError('fetch failed')) : fetch(url, init),
  )
  record(opened)
  await opened.tracer.flush(5_000)
  expect([tries, opened.outcomes()]).toEqual([2, { sent: 1 }])
})

test('work that was put off is a part of the trace that asked for it, or names all of them in its own', async () => {
  const { tracer } = open({ sampler: { ratio: 0, followsParent: false } })
  const place = (trace: string, span: string) => ({
    traceId: trace.repeat(32),
    spanId: span.repeat(16),
  })
  const [a, sameAsA, b] = [place('a', '1'), place('a', '2'), place('b', '3')]
  expect(tracer.after([])).toBeNull()
  expect(tracer.after([a])).toMatchObject({ context: { traceId: a.traceId }, parentId: a.spanId })
  expect(tracer.after([a, sameAsA])).toMatchObject({ parentId: a.spanId })
  const own = tracer.after([a, b])!
  expect(own.parentId).toBeNull()
  expect([a.traceId, b.traceId]).not.toContain(own.context.traceId)
  tracer.end(own, { name: 'n', kind: 'consumer', attributes: {}, links: [a, b] })
  await tracer.close(5_000)
  expect(receiver.spans()[0]).toMatchObject({ kind: 5, links: [a, b] })
})
