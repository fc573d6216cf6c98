/** The router as a process of its own, for an edge that cannot hold it: runners dial a socket, Workers a port. */
import { openSigner, openVerifier } from '#core/internal/signing.ts'
import { RequestMetrics } from '#edge/metrics/requests.ts'
import { openGate } from '#edge/middleware/gate.ts'
import { cachedRouter } from '#edge/response-cache/cached-router.ts'
import { shippedReceipts } from '#edge/response-cache/receipts.ts'
import { Answering } from '#edge/rollouts/answering.ts'
import { healthAt } from '#gpu-runners/health.ts'
import { createRouter } from '#gpu-runners/router.ts'
import { serveRouter } from '#gpu-runners/router-http.ts'
import { addressOf, listenForChannels } from '#platform/channel/transport.ts'
import { openLog } from '#platform/log.ts'
import { measureProcess } from '#platform/metrics/process.ts'
import { Registry } from '#platform/metrics/registry.ts'
import { httpObjects } from '#platform/objects/http.ts'
import { remoteObjects } from '#platform/objects/remote.ts'
import { endWithParent, reportReady } from '#platform/parent.ts'
import { openTracer, spanOutcomes } from '#platform/traces/tracer.ts'
import { serveGrpc } from '../grpc/server.ts'
import { readRouterEnv } from './env.ts'
import { serveHttp } from './http-host.ts'
import { runnerCaller } from './runner-caller.ts'
import { shipper } from './ship.ts'

const SHIP_MS_MAX = 3_000
/** Of answers over gRPC; those over HTTP are kept by the Workers. */
const CACHE_BYTES_MAX = 128 * 1024 ** 2

const env = readRouterEnv()
const clock = { now: () => Date.now() }
const log = openLog({ place: 'router', clock })
const functions = {
  fetch(request: Request) {
    const { pathname, search } = new URL(request.url)
    return fetch(new Request(env.functionsUrl + pathname + search, request))
  },
}
const signer = await openSigner('edge', env.edgeKey)
const registry = new Registry()
measureProcess(registry)
const { router, attach, readings, close } = createRouter({
  registry,
  clock,
  log,
  verifier: await openVerifier({ runner: env.runnerKey }),
  ship: shipper({ functions, signer, clock }),
  callRunner: runnerCaller({ functions, signer, clock }),
})
const objects = httpObjects({ fetch, origin: env.objectsUrl, signer, clock })
const background = (work: Promise<unknown>) =>
  void work.catch(error => log.error('router.background', { error: String(error) }))
const tracer = openTracer(
  { fetch, clock, log, background, outcomes: spanOutcomes(registry) },
  env.traces,
  'router',
)
const gate = openGate({
  functions,
  objects: remoteObjects(objects),
  signer,
  clock,
  log,
  background,
})
/** What is answered here from memory waits for the ledger: there may be no disk that outlives this process. */
const receipts = shippedReceipts({ functions, signer, clock, background })
const metrics = { registry }
const kept = { receipts, metrics, cacheBytesMax: CACHE_BYTES_MAX }
const cached = cachedRouter({ router, clock, log, ...kept })
const needs = { router: cached, functions, signer, clock, background }
const answering = new Answering(needs, gate.models)

const runners = await listenForChannels({ log }, addressOf(env.channel), env.runnerKey, attach)
const verifier = await openVerifier({ edge: env.edgeKey })
const serve = serveRouter({
  router,
  readings,
  verifier,
  clock,
  log,
  instance: env.instance,
})
let isStopping = false
const server = await serveHttp({
  host: env.host,
  port: env.port,
  fetch(request) {
    // Ready without a runner too: requests wait for one, and are what brings one up.
    const health = healthAt(new URL(request.url).pathname, () => !isStopping)
    return health ? Response.json(health.body, { status: health.status }) : serve(request)
  },
})
// A Worker cannot speak gRPC: it ends here, behind the same gate.
const grpc = env.grpc
  ? await serveGrpc(
      {
        ...gate,
        answering,
        metrics: new RequestMetrics(registry, 'grpc'),
        deps: { functions, signer, router: cached, clock, log, tracer },
      },
      env.grpc,
    )
  : null

endWithParent(async why => {
  isStopping = true
  if (why === 'stop') await Promise.all([server.close(), grpc?.close()])
  runners.close()
  close()
  await tracer?.close(why === 'stop' ? SHIP_MS_MAX : 0)
})
reportReady()
