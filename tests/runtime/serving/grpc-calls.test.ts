/** A call over gRPC, from its client to the runner: what it says of time goes all the way. */
import { fileURLToPath } from 'node:url'
import * as grpc from '@grpc/grpc-js'
import { loadSync } from '@grpc/proto-loader'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import type { Blobs, Objects } from '#core/deps.ts'
import { openSigner } from '#core/internal/signing.ts'
import type { GrpcEdge } from '#edge/grpc/edge.ts'
import { RequestMetrics } from '#edge/metrics/requests.ts'
import { openGate } from '#edge/middleware/gate.ts'
import { Answering } from '#edge/rollouts/answering.ts'
import { type GrpcServed, serveGrpc } from '#local/grpc/server.ts'
import { freePorts } from '#local/ports.ts'
import { Registry } from '#platform/metrics/registry.ts'
import { systemClock as clock } from '#tests/caller.ts'
import { dial, newRouter, until } from '../routing/scene.ts'
import { startUpstream, type Upstream } from '../worker-upstream.ts'

const PROTO = fileURLToPath(new URL('../../../schemas/contracts/inference.proto', import.meta.url))
const REFUSED = { code: 'invalid_input', public: 'Not today.', retryable: false }
const log = { info() {}, error() {} }
const objects: Objects = {
  tenant: () => ({
    leaseRate: async () => ({ granted: 1_000, validUntil: clock.now() + 60_000, retryAfterMs: 0 }),
  }),
}

let upstream: Upstream
const registry = new Registry()
let client: grpc.Client
let served: GrpcServed | undefined
beforeAll(async () => {
  upstream = await startUpstream({ router: {} as never, blobs: {} as Blobs })
})
afterAll(() => upstream.close())

/** An edge with its own door, and a runner that has the model warm. */
async function scene() {
  const router = newRouter()
  const runner = await dial(router, 'a', [upstream.model.digest])
  const functions = {
    fetch: (request: Request) => {
      const { pathname } = new URL(request.url)
      return fetch(new Request(upstream.origin + pathname, request))
    },
  }
  const signer = await openSigner('edge', upstream.edgeKey)
  const background = (work: Promise<unknown>) => void work.catch(() => {})
  const places = { functions, signer, clock, log, objects, router: router.router }
  const deps = { ...places, background, tracer: null }
  const gate = openGate(deps)
  const metrics = new RequestMetrics(registry, 'grpc')
  const edge: GrpcEdge = { ...gate, deps, metrics, answering: new Answering(deps, gate.models) }
  const [port] = await freePorts(1)
  served = await serveGrpc(edge, { host: '127.0.0.1', port: port! })
  const loaded = grpc.loadPackageDefinition(loadSync(PROTO, { keepCase: true }))
  const { GRPCInferenceService: Client } = loaded.inference as never as {
    GRPCInferenceService: grpc.ServiceClientConstructor
  }
  client = new Client(`127.0.0.1:${port}`, grpc.credentials.createInsecure())
  return runner
}
afterEach(async () => {
  client?.close()
  await served?.close()
})

type Unary = (request: object, metadata: grpc.Metadata, options: object, done: Done) => unknown
type Done = (error: grpc.ServiceError | null) => void

function call(options: { deadline?: number } = {}, key = upstream.key.key) {
  const metadata = new grpc.Metadata()
  metadata.set('authorization', `Bearer ${key}`)
  const { promise: ended, resolve } = Promise.withResolvers<grpc.ServiceError | null>()
  const infer = client['ModelInfer' as never] as Unary
  const asked = infer.call(client, { model_name: 'm' }, metadata, options, resolve)
  return { ended, cancel: () => (asked as grpc.ClientUnaryCall).cancel() }
}

test('the runner is told the deadline of the call, within what a request may take, and of a call that is cancelled', async () => {
  const runner = await scene()
  for (const [wantedMs, givenMs] of [
    [60_000, 60_000],
    [3_600_000, 120_000],
    [undefined, 30_000],
  ] as const) {
    const earliest = clock.now() + givenMs
    const { ended } = call(wantedMs === undefined ? {} : { deadline: clock.now() + wantedMs })
    await until(() => runner.asked.length === 1)
    const { deadline } = runner.asked[0]!
    expect(deadline).toBeGreaterThanOrEqual(earliest - 1)
    expect(deadline).toBeLessThanOrEqual(clock.now() + givenMs + 1)
    runner.refuseAll(REFUSED)
    expect(await ended).toMatchObject({
      code: grpc.status.INVALID_ARGUMENT,
      details: REFUSED.public,
    })
  }
  const { ended, cancel } = call({ deadline: clock.now() + 3_600_000 })
  await until(() => runner.asked.length === 1)
  expect(runner.canceled).toEqual([])
  cancel()
  await until(() => runner.canceled.length === 1)
  expect(runner.canceled).toEqual([runner.asked[0]!.id])
  expect(await ended).toMatchObject({ code: grpc.status.CANCELLED })
})

test('calls count as the route whose policy they go by, with its status, one that is turned away at the door too', async () => {
  const runner = await scene()
  const counted = (code: number) => {
    const labels = ['oip.infer', 'grpc', String(code)].join()
    const family = registry.snapshot().find(({ name }) => name === 'galley_requests_total')!
    return (family.series.find(([values]) => values.join() === labels)?.[1] ?? 0) as number
  }
  const before = [400, 401].map(counted)
  const refused = call()
  await until(() => runner.asked.length === 1)
  runner.refuseAll(REFUSED)
  expect(await refused.ended).toMatchObject({ code: grpc.status.INVALID_ARGUMENT })
  expect(await call({}, 'gly_live_unknown').ended).toMatchObject({
    code: grpc.status.UNAUTHENTICATED,
  })
  expect([400, 401].map((code, i) => counted(code) - before[i]!)).toEqual([1, 1])
})
