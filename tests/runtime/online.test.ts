/** Online inference on a runner: an answer has a receipt, and what cannot be answered has none. */
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { createConnection, createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, onTestFinished, test, vi } from 'vitest'
import * as blobKeys from '#core/blob-keys.ts'
import type { Servable, Tracer } from '#core/deps.ts'
import type { Ended, TraceContext } from '#core/trace.ts'
import type { Served } from '#gpu-runners/dialling/link.ts'
import { openOnnxRuntime } from '#gpu-runners/engines/onnxruntime.ts'
import { openModelFiles } from '#gpu-runners/models/files.ts'
import { openMemory } from '#gpu-runners/models/memory.ts'
import { openResidents } from '#gpu-runners/models/residents.ts'
import { FRAME } from '#gpu-runners/online/frames.ts'
import { type ErrorPart, inferHead, readReply, tracePart } from '#gpu-runners/online/messages.ts'
import { serveOnline } from '#gpu-runners/online/online.ts'
import { openReceiptLog } from '#gpu-runners/online/receipt-log.ts'
import { Statistics } from '#gpu-runners/online/statistics.ts'
import { folderBlobs } from '#platform/blob/folder.ts'
import { fromJsonPart, jsonPart, openChannel } from '#platform/channel/channel.ts'
import { Registry } from '#platform/metrics/registry.ts'
import { traceSettings } from '#platform/traces/settings.ts'
import { openTracer, spanOutcomes } from '#platform/traces/tracer.ts'
import { newId } from '#schemas/ids.ts'
import { callOf, systemClock as clock } from '#tests/caller.ts'
import { mlp, slow } from '#tests/models.ts'

vi.setConfig({ testTimeout: 60_000 })

const { caller } = callOf(newId('tenant'))
const BODY = Buffer.from(
  JSON.stringify({ inputs: [{ name: 'x', datatype: 'FP32', shape: [1, 4], data: [1, 2, 3, 4] }] }),
)
const TRACED = { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:9' }
const TRACE = { traceId: 'a'.repeat(32), spanId: 'b'.repeat(16) }

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await sleep(2)
}

/** A runner's end of a channel, and ours, which keeps the frames that come. */
async function newRunner(graph: Uint8Array) {
  const spans: (Ended & { context: TraceContext; parentId: string | null; receipts: number })[] = []
  const outcomes = spanOutcomes(new Registry())
  const exporting = { fetch, clock, log: { info() {}, error() {} }, background() {}, outcomes }
  const tracer: Tracer = {
    ...openTracer(exporting, traceSettings(TRACED, 'runner'), 'runner-0')!,
    end: (span, ended) => spans.push({ ...span, ...ended, receipts: receipts.count() }),
  }
  const root = mkdtempSync(join(tmpdir(), 'galley-online-'))
  const log = { info() {}, error() {} }
  const engine = openOnnxRuntime({ log })
  const blobs = folderBlobs({ root: join(root, 'blobs') })
  const sha256 = createHash('sha256').update(graph).digest('hex')
  await blobs.put(blobKeys.file(caller.tenantId, sha256), graph)
  const files = openModelFiles({ blobs }, { folder: join(root, 'models') })
  const memory = openMemory({ clock, log }, { budgetBytes: 2 ** 30, overheadBytes: () => 0 })
  const residents = openResidents(
    { engine, files, memory, clock, log, hardware: 'cpu' },
    { onChange() {} },
  )
  const receipts = openReceiptLog(
    { clock, log },
    { folder: join(root, 'receipts'), ship: () => new Promise(() => {}), onShipped() {} },
  )
  const server = createServer().listen(join(root, 'socket'))
  const ours = createConnection(join(root, 'socket'))
  const [theirs] = (await once(server, 'connection')) as [Socket]
  onTestFinished(async () => {
    ours.destroy()
    server.close()
    await receipts.close(0)
    await engine.close()
    rmSync(root, { recursive: true })
  })
  const runner = openChannel(theirs, {
    frame: (type, id, payload) => served.onFrame(type, id, payload),
    end: () => served.end(),
  })
  const served: Served = serveOnline(
    {
      residents,
      receipts,
      measures: { snapshot: () => [] },
      statistics: new Statistics(clock),
      inferenceLog: { note() {} },
      tracer,
      clock,
      log,
    },
    runner,
  )
  const frames: { type: number; id: number; payload: Buffer; receipts: number }[] = []
  const channel = openChannel(ours, {
    frame: (type, id, payload) => frames.push({ type, id, payload, receipts: receipts.count() }),
    end() {},
  })
  const spec = (name: string) => ({
    name,
    datatype: 'FP32' as const,
    shape: [-1, 4],
    batch_axis: 0,
  })
  const model = {
    model: 'm',
    version: 1,
    digest: sha256,
    manifest: { graph: 'm.onnx', files: [{ path: 'm.onnx', sha256, size: graph.length }] },
    signature: { inputs: [spec('x')], outputs: [spec('y')], batching: 'unbatched' },
  } as unknown as Servable
  channel.send(FRAME.context, 1, [jsonPart({ caller, model })])
  const ask = (id: number, context = 1, trace?: TraceContext) => {
    if (trace) channel.send(FRAME.trace, id, [tracePart(trace)])
    const head = { context, deadline: clock.now() + 60_000, jsonLength: null }
    channel.send(FRAME.infer, id, [inferHead({ ...head, requestId: newId('request') }), BODY])
  }
  return { ask, frames, ours, receipts, served, runner, spans, root }
}

test('a reply never comes before its receipt is written', async () => {
  const { ask, frames } = await newRunner(mlp(1, [4, 4]))
  for (let id = 1; id <= 50; id++) ask(id)
  await until(() => frames.length === 50)
  frames.forEach((frame, i) => {
    expect(frame.type).toBe(FRAME.reply)
    expect(frame.receipts).toBeGreaterThan(i)
  })
  expect(JSON.parse(String(readReply(frames[0]!.payload).body)).outputs[0].shape).toEqual([1, 4])
})

test('a request that names what the runner was never told is refused alone', async () => {
  const { ask, frames, receipts } = await newRunner(mlp(1, [4, 4]))
  ask(1, 77)
  ask(2)
  await until(() => frames.length === 2)
  const [refused] = frames.filter(frame => frame.id === 1)
  expect(refused!.type).toBe(FRAME.error)
  expect(fromJsonPart<ErrorPart>(refused!.payload).code).toBe('internal')
  expect(receipts.count()).toBe(1)
})

test('when the channel is gone, work that waits is dropped, and what was done for nobody is not billed', async () => {
  const { ask, frames, ours, receipts, served } = await newRunner(slow(20_000))
  ask(1)
  await until(() => frames.length === 1)
  for (let id = 2; id <= 30; id++) ask(id)
  await until(() => served.inFlight() === 29)
  ours.destroy()
  await until(() => served.inFlight() === 0)
  await sleep(50)
  expect(receipts.count()).toBe(1)
})

test('closing the channel sends what was queued', async () => {
  const { frames, runner } = await newRunner(mlp(1, [4, 4]))
  runner.send(FRAME.drain, 0, [])
  runner.close()
  await until(() => frames.length === 1)
})

test('the span of an inference lasts until its reply leaves, its receipt written', async () => {
  const { ask, frames, spans } = await newRunner(mlp(1, [4, 4]))
  ask(1, 1, TRACE)
  ask(2)
  await until(() => frames.length === 2 && spans.some(({ name }) => name === 'infer'))
  const [inference, ...others] = spans.filter(({ name }) => name === 'infer')
  expect(others).toEqual([])
  expect(inference!.receipts).toBeGreaterThan(0)
  const { receiptId } = readReply(frames.find(({ id }) => id === 1)!.payload).head
  expect(inference).toMatchObject({
    parentId: TRACE.spanId,
    context: { traceId: TRACE.traceId },
    attributes: { 'galley.receipt.id': receiptId, 'galley.rows': 1 },
  })
})

test('the span of a request that names what the runner was never told, or whose receipt is lost, says so', async () => {
  const { ask, frames, spans, receipts, root } = await newRunner(mlp(1, [4, 4]))
  ask(1, 77, TRACE)
  await until(() => frames.length === 1)
  ask(2, 1, TRACE)
  await until(() => frames.length === 2)
  // Its file is closed, and the next one cannot be made.
  await receipts.close(0)
  rmSync(join(root, 'receipts'), { recursive: true })
  ask(3, 1, TRACE)
  await until(() => frames.length === 3)
  const inferences = spans.filter(({ name }) => name === 'infer')
  expect(inferences.map(({ fault }) => fault)).toEqual(['internal', undefined, 'internal'])
  expect(inferences[0]!.attributes).toMatchObject({ 'error.type': 'internal' })
  expect(inferences[2]!.attributes).not.toHaveProperty('galley.receipt.id')
})
