/** The entry on Workers: the app over bindings, made once per isolate, and the Durable Objects. */
import { waitUntil } from 'cloudflare:workers'
import type { Hono } from 'hono'
import type { Objects } from '#core/deps.ts'
import { HeldBytes } from '#core/held-bytes.ts'
import { openSigner, openVerifier, STREAMED, TOKEN_HEADER } from '#core/internal/signing.ts'
import { remoteBlobs } from '#platform/blob/remote.ts'
import { signedBlobs } from '#platform/blob/signed.ts'
import { consoleLog } from '#platform/console-log.ts'
import { remoteFeatures } from '#platform/objects/remote.ts'
import { openTracer, spanOutcomes } from '#platform/traces/tracer.ts'
import { createApp } from './app.ts'
import { type EdgeEnv, functionsOf, readEnv, type WorkerEnv } from './env.ts'
import { ask } from './functions-client.ts'
import { withKeyRecords } from './key-records.ts'
import { toldMetrics } from './metrics/told.ts'
import { boundedHttp } from './middleware/bounded-http.ts'
import { EDGE_ENGINES } from './middleware/engines.ts'
import { boundCall, serveFeatures } from './objects/features-binding.ts'
import { serveTenants } from './objects/tenants-binding.ts'
import { remoteRouter } from './remote-router.ts'
import { shippedReceipts } from './response-cache/receipts.ts'
import { webHttp } from './web-http.ts'

export { FeaturesObject } from './objects/features.ts'
export { TenantObject } from './objects/tenant.ts'

/** Of an isolate's 128 MB. */
const CACHE_BYTES_MAX = 24 * 1024 ** 2

type Served = { app: Hono; tell(): void; objects(request: Request): Promise<Response> }
let served: Promise<Served> | undefined

export default {
  async fetch(request, env, context) {
    served ??= open(readEnv(env))
    const { app, objects, tell } = await served
    tell()
    const isInternal = /^\/objects\/(features|tenant)\//.test(new URL(request.url).pathname)
    const reply = Promise.resolve(isInternal ? objects(request) : app.fetch(request))
    // Others may wait for what this request looks up: it goes on when its own caller hangs up.
    context.waitUntil(reply)
    return reply
  },
} satisfies ExportedHandler<WorkerEnv>

async function open(env: EdgeEnv): Promise<Served> {
  const clock = { now: () => Date.now() }
  const log = consoleLog('edge')
  const signer = await openSigner('edge', env.key)
  const held = new HeldBytes(EDGE_ENGINES.workers.heldBytesMax)
  const background = (work: Promise<unknown>) => waitUntil(work)
  const functions = functionsOf(env)
  const send = (request: Request) => fetch(request)
  const verifier = await openVerifier({ functions: env.functionsKey })
  const fromRouter = { fetch: send, origin: env.routerUrl, signer, clock }
  const toFunctions = { functions, signer, clock }
  const metrics = toldMetrics({ ...fromRouter, functions, background, log })
  const tracer = openTracer(
    {
      fetch: (url, init) => fetch(url, init),
      clock,
      log,
      background,
      outcomes: spanOutcomes(metrics.registry),
    },
    env.traces,
    crypto.randomUUID(),
  )
  const app = createApp({
    functions: env.keys
      ? withKeyRecords(functions, { clock, background, store: env.keys })
      : functions,
    router: remoteRouter(fromRouter),
    objects: objectsOf(env),
    features: remoteFeatures(boundCall(env.features), env.partitionsPerObject),
    blobs: env.blobsUrl
      ? remoteBlobs({ url: `${env.blobsUrl}/internal/blobs`, sign: signBlobs })
      : signedBlobs({
          sign: request => ask(toFunctions, '/internal/signed-blobs/sign', request),
          join: pieces => ask(toFunctions, '/internal/signed-blobs/join', pieces),
          held,
        }),
    signer,
    clock,
    log,
    http: boundedHttp(webHttp, EDGE_ENGINES.workers, held),
    metrics,
    tracer,
    receipts: shippedReceipts({ functions, signer, clock, background }),
    cacheBytesMax: CACHE_BYTES_MAX,
    background,
  })
  const features = serveFeatures(env.features, { verifier, clock })
  const tenants = serveTenants(env.tenants, {
    verifier: await openVerifier({ edge: env.key }),
    clock,
  })
  return {
    app,
    tell: metrics.tell,
    objects: request =>
      new URL(request.url).pathname.startsWith('/objects/tenant/')
        ? tenants(request)
        : features(request),
  }

  async function signBlobs(request: Request): Promise<Request> {
    const { method, url } = request
    const { pathname, search } = new URL(url)
    const claims = { call: null, method, path: pathname + search, body: STREAMED }
    request.headers.set(TOKEN_HEADER, await signer.sign(claims, clock.now()))
    return request
  }
}

function objectsOf({ tenants }: EdgeEnv): Objects {
  return {
    tenant: tenantId => ({
      leaseRate: input => tenants.get(tenants.idFromName(tenantId)).leaseRate(input),
    }),
  }
}
