/** The edge on one machine: the Hono app on Node, with the router in the same process. */

import { HeldBytes } from '#core/held-bytes.ts'
import { openSigner, openVerifier } from '#core/internal/signing.ts'
import { createApp } from '#edge/app.ts'
import type { EdgeDeps } from '#edge/deps.ts'
import { ask } from '#edge/functions-client.ts'
import { functionsReading } from '#edge/metrics/functions.ts'
import { RequestMetrics } from '#edge/metrics/requests.ts'
import { boundedHttp } from '#edge/middleware/bounded-http.ts'
import { EDGE_ENGINES } from '#edge/middleware/engines.ts'
import { openGate } from '#edge/middleware/gate.ts'
import { cachedRouter } from '#edge/response-cache/cached-router.ts'
import { Answering } from '#edge/rollouts/answering.ts'
import { createRouter } from '#gpu-runners/router.ts'
import { openBlobs } from '#platform/blob/open.ts'
import { addressOf, listenForChannels } from '#platform/channel/transport.ts'
import { openLog } from '#platform/log.ts'
import { measureProcess } from '#platform/metrics/process.ts'
import { Registry } from '#platform/metrics/registry.ts'
import { dialObjects } from '#platform/objects/channel.ts'
import { remoteFeatures, remoteObjects } from '#platform/objects/remote.ts'
import { endWithParent, reportReady } from '#platform/parent.ts'
import { openTracer, spanOutcomes } from '#platform/traces/tracer.ts'
import { serveGrpc } from '../grpc/server.ts'
import { readEdgeEnv } from './env.ts'
import { loggedReceipts } from './hit-receipts.ts'
import { listen } from './http-host.ts'
import { nodeHttp, nodeListener } from './node-http.ts'
import { runnerCaller } from './runner-caller.ts'
import { shipper } from './ship.ts'

const CACHE_BYTES_MAX = 128 * 1024 ** 2
const SHIP_MS_MAX = 3_000

const env = readEdgeEnv()
const clock = { now: () => Date.now() }
const log = openLog({ place: 'edge', clock })
const signer = await openSigner('edge', env.key)
const functions = { fetch: (request: Request) => fetch(rebased(request, env.functionsUrl)) }
const receipts = loggedReceipts(
  { clock, log },
  {
    folder: env.receiptsFolder,
    async ship(lines) {
      await ask({ functions, signer, clock }, '/internal/receipts', { lines: JSON.parse(lines) })
    },
  },
)
const { router, attach, readings, close } = createRouter({
  clock,
  log,
  verifier: await openVerifier({ runner: env.runnerKey }),
  ship: shipper({ functions, signer, clock }),
  callRunner: runnerCaller({ functions, signer, clock }),
})
const registry = new Registry()
measureProcess(registry)
const background = (work: Promise<unknown>) =>
  void work.catch(error => log.error('edge.background', { error: String(error) }))
const tracer = openTracer(
  { fetch, clock, log, background, outcomes: spanOutcomes(registry) },
  env.traces,
  'edge',
)
const objects = dialObjects({ path: env.objectsSocket, name: 'edge', signer, clock, log })
const deps: EdgeDeps = {
  functions,
  router,
  objects: remoteObjects(objects.call),
  features: remoteFeatures(objects.call, env.partitionsPerObject),
  blobs: await openBlobs(env.blobs),
  signer,
  clock,
  log,
  http: boundedHttp(nodeHttp, EDGE_ENGINES.node, new HeldBytes(EDGE_ENGINES.node.heldBytesMax)),
  metrics: {
    registry,
    async readings() {
      const of = await Promise.all([
        readings(),
        functionsReading({ functions, signer, clock }),
        objects.measured().then(
          snapshot => [{ process: 'objects', snapshot }],
          () => [],
        ),
      ])
      return [{ process: 'edge', snapshot: registry.snapshot() }, ...of.flat()]
    },
  },
  receipts,
  cacheBytesMax: CACHE_BYTES_MAX,
  tracer,
  background,
}

const runners = await listenForChannels({ log }, addressOf(env.router), env.runnerKey, attach)
const gate = openGate(deps)
const cached = cachedRouter(deps)
const answering = new Answering({ ...deps, router: cached }, gate.models)
const app = createApp(deps, gate, cached, answering)
const listener = nodeListener((request, bindings) => app.fetch(request, bindings))
const { host } = env
const server = await listen({ host, port: env.port, listener })
const grpc = await serveGrpc(
  {
    ...gate,
    answering,
    metrics: new RequestMetrics(registry, 'grpc'),
    deps: { ...deps, router: cached },
  },
  { host, port: env.grpcPort },
)

endWithParent(async why => {
  if (why === 'stop') await Promise.all([server.close(), grpc.close()])
  runners.close()
  close()
  const waitMs = why === 'stop' ? SHIP_MS_MAX : 0
  await Promise.all([receipts.close(waitMs), tracer?.close(waitMs)])
  objects.close()
})
reportReady()

/** The app names no host; here the functions are a port on this machine. */
function rebased(request: Request, origin: string): Request {
  const url = new URL(request.url)
  return new Request(origin + url.pathname + url.search, request)
}
