/** The functions on one machine: the control API over loopback, the outbox relay and the sweeps. */
import { setTimeout as sleep } from 'node:timers/promises'
import { problem } from '#core/error.ts'
import {
  openSigner,
  openVerifier,
  PLACES,
  placeKey,
  STREAMED,
  TOKEN_HEADER,
} from '#core/internal/signing.ts'
import { openVault } from '#core/internal/vault.ts'
import * as outbox from '#core/outbox.ts'
import { createApi } from '#functions/api.ts'
import type { FunctionsDeps } from '#functions/deps.ts'
import { readEnv } from '#functions/env.ts'
import { ingestQueue } from '#functions/ingest.ts'
import { openMeasures } from '#functions/metrics/measures.ts'
import { verifyQueue } from '#functions/models/uploads.ts'
import { openCalls } from '#functions/runners/calls.ts'
import { tendLog } from '#functions/seal.ts'
import { inferenceFilesIn } from '#functions/segments/inference-files.ts'
import { spoolsIn } from '#functions/segments/spool.ts'
import { sweep } from '#functions/sweep.ts'
import { sweepFolder } from '#platform/blob/folder.ts'
import { openSigner as openBlobSigner, openBlobs } from '#platform/blob/open.ts'
import { serveBlobs } from '#platform/blob/serve.ts'
import { connectionOf, openDatabase } from '#platform/db/postgres.ts'
import { openLog } from '#platform/log.ts'
import { measureProcess } from '#platform/metrics/process.ts'
import { Registry } from '#platform/metrics/registry.ts'
import { dialObjects } from '#platform/objects/channel.ts'
import { httpApplyAt, httpObjects } from '#platform/objects/http.ts'
import { remoteFeatures } from '#platform/objects/remote.ts'
import { endWithParent, reportReady } from '#platform/parent.ts'
import { openSqs } from '#platform/queue/open.ts'
import { postgresQueue } from '#platform/queue/postgres.ts'
import { openTracer, spanOutcomes } from '#platform/traces/tracer.ts'
import { SCHEDULES } from '#schemas/schedules.ts'
import { serveHttp } from './http-host.ts'

const RELAY_IDLE_MS = SCHEDULES.relay.everyS * 1_000
const SWEEP_MS = SCHEDULES.sweep.everyS * 1_000
const TEND_MS = SCHEDULES.tend.everyS * 1_000
const FLUSH_MS_MAX = 2_000
const BLOBS_PATH = '/internal/blobs'

const env = readEnv()
const clock = { now: () => Date.now() }
const log = openLog({ place: 'functions', clock })
const db = openDatabase({ url: env.databaseUrl, log })
const blobs = await openBlobs(env.blobs)
const queue = env.queues
  ? await openSqs(env.queues, { blobs, log })
  : postgresQueue({ pool: db.pool, listen: connectionOf(env.databaseUrl) })
const keys = Object.fromEntries(
  await Promise.all(PLACES.map(async place => [place, await placeKey(env.secret, place)])),
)
const verifier = await openVerifier(keys)
const signer = await openSigner('functions', await placeKey(env.secret, 'functions'))
const worker = env.featuresUrl ? { fetch, origin: env.featuresUrl, signer, clock } : null
const features = worker
  ? remoteFeatures(httpObjects(worker), env.partitionsPerObject, httpApplyAt(worker))
  : remoteFeatures(
      dialObjects({ path: env.objectsSocket, name: 'functions', signer, clock, log }).call,
      env.partitionsPerObject,
    )
let wake = () => {}
const registry = new Registry()
measureProcess(registry)
const tracer = openTracer(
  { fetch, clock, log, background: work => void work, outcomes: spanOutcomes(registry) },
  env.traces,
  'functions',
)
const deps: FunctionsDeps = {
  tracer,
  measures: openMeasures(registry),
  calls: openCalls(),
  db,
  queue,
  queueSystem: env.queues ? 'aws_sqs' : 'postgresql',
  features,
  blobs,
  signBlobs: await openBlobSigner(env.blobs),
  clock,
  log,
  verifier,
  vault: await openVault(env.secret),
  openSpool: await spoolsIn(env.scratchFolder),
  inferenceFiles: inferenceFilesIn(env.scratchFolder),
  suppliedClasses: env.suppliedClasses,
  exporting: new Set(),
  contexts: new Map(),
  // It logs its own faults, and this process stays.
  afterReply: () => {},
  promised: () => wake(),
}

const api = createApi(deps)
const blobHost = serveBlobs({ blobs, path: BLOBS_PATH, log })
const stopping = new AbortController()
const server = await serveHttp({
  host: '127.0.0.1',
  port: env.port,
  fetch: request =>
    new URL(request.url).pathname.startsWith(BLOBS_PATH) ? answerBlobs(request) : api(request),
})
/** Two, so that one places while the other stores. */
const INGESTING = 2
const ingesting = Array.from({ length: INGESTING }, () => ingestQueue(deps, stopping.signal))
/** Two, so that one large file does not hold up all others. */
const VERIFYING = 2
const verifying = Array.from({ length: VERIFYING }, () => verifyQueue(deps, stopping.signal))
const loops = [relay(), sweeps(), tending(), ...ingesting, ...verifying]

endWithParent(async why => {
  stopping.abort()
  wake()
  if (why === 'stop') await Promise.race([server.close(), sleep(2_000)])
  await Promise.race([Promise.all(loops), sleep(2_000)])
  await tracer?.close(why === 'stop' ? FLUSH_MS_MAX : 0)
  await queue.close()
  await db.close()
})
reportReady()

/** Bytes for an edge that cannot reach the folder itself: in the cloud these are presigned requests. */
async function answerBlobs(request: Request): Promise<Response> {
  try {
    const url = new URL(request.url)
    const claims = await verifier.verify(
      request.headers.get(TOKEN_HEADER),
      { method: request.method, path: url.pathname + url.search, body: STREAMED },
      clock.now(),
    )
    if (claims.from === 'edge') return await blobHost(request)
  } catch (error) {
    const document = problem(error, 'unknown')
    return Response.json(document, { status: document.status })
  }
  return Response.json({}, { status: 401 })
}

/** Sends promised messages as soon as a transaction has committed, and looks once a second besides. */
async function relay(): Promise<void> {
  while (!stopping.signal.aborted) {
    const woken = new Promise<void>(resolve => {
      wake = resolve
    })
    try {
      while ((await outbox.relay(deps)) > 0);
    } catch (error) {
      log.error('functions.relay_failed', { error: String(error) })
    }
    await Promise.race([woken, sleep(RELAY_IDLE_MS, undefined, { ref: false })])
  }
}

async function sweeps(): Promise<void> {
  await sweepFolder({ root: env.blobs.folder }).catch(error =>
    log.error('functions.sweep_failed', { sweep: 'blobs', error: String(error) }),
  )
  while (!stopping.signal.aborted) {
    await sweep(deps)
    await sleep(SWEEP_MS, undefined, { signal: stopping.signal }).catch(() => {})
  }
}

/** The log by the hour, apart from the sweeps: an hour of it may take minutes. */
async function tending(): Promise<void> {
  for (let minute = 0; ; minute++) {
    await sleep(TEND_MS, undefined, { signal: stopping.signal }).catch(() => {})
    if (stopping.signal.aborted) return
    await tendLog(deps, minute)
  }
}
