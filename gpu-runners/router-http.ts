/** The router's door for Workers: signed inferences over HTTP, answered with the runner's bytes. */
import type { Clock, InferenceRouter, Log, Servable } from '#core/deps.ts'
import { AppError, problem } from '#core/error.ts'
import { sha256Hex, TOKEN_HEADER, type Verifier } from '#core/internal/signing.ts'
import type { StatisticsCall, UnloadCall } from '#core/router.ts'
import { Isolates, type Told, toldFrom } from '#platform/metrics/isolates.ts'
import { type Reading, Registry } from '#platform/metrics/registry.ts'
import {
  COMPUTE_HEADER,
  GROWTH_PATH,
  INFER_PATH,
  JSON_LENGTH_HEADER,
  LOAD_PATH,
  type LoadBody,
  MEASURES_PATH,
  MODEL_BYTES_MAX,
  MODEL_WANTED_HEADER,
  modelFrom,
  READY_PATH,
  RECEIPT_HEADER,
  STATISTICS_PATH,
  targetOf,
  UNLOAD_PATH,
} from '#platform/router/wire.ts'
import { INFERENCE_BODY_BYTES_MAX } from '#schemas/contracts/inference.ts'

import type { Readings } from './routing/readings.ts'

/** Descriptions of a few KB each; one that was forgotten is asked for again. */
const MODELS_MAX = 10_000
/** What is measured here, and nowhere else. */
const OWN = ['edge', 'router']

export type RouterHttpDeps = {
  router: InferenceRouter
  readings: Readings
  verifier: Verifier
  clock: Clock
  log: Log
  /** Of several behind one address: what each has counted stands under its own name, or it would seem to go back. */
  instance?: string | null
}

/** Answers `POST` of `/infer`, `/load`, `/unload` and `/statistics`, and `GET /ready`; errors are problem documents. */
export function serveRouter(deps: RouterHttpDeps): (request: Request) => Promise<Response> {
  const models = new Map<string, Servable>()
  const edges = new Registry()
  const isolates = new Isolates()
  return async request => {
    try {
      return await answer(deps, { models, edges, isolates }, request)
    } catch (error) {
      return refusal(deps.log, request, error)
    }
  }
}

/** What it has been told: versions, and what edges counted that do not live to be asked. */
type Known = { models: Map<string, Servable>; edges: Registry; isolates: Isolates }

async function answer(deps: RouterHttpDeps, { models, edges, isolates }: Known, request: Request) {
  const url = new URL(request.url)
  const { method } = request
  const body = await bodyOf(request)
  const path = url.pathname + url.search
  const token = request.headers.get(TOKEN_HEADER)
  const { from, call } = await deps.verifier.verify(token, { method, path, body }, deps.clock.now())
  if (from !== 'edge')
    throw new AppError('unauthenticated', { internal: `${from} asked the router` })
  if (method === 'GET' && path === READY_PATH) return readiness(deps.router)
  if (method === 'POST' && path === LOAD_PATH && call) {
    return Response.json(await deps.router.load({ ...jsonOf<LoadBody>(body), call }))
  }
  if (method === 'POST' && path === UNLOAD_PATH && call) {
    await deps.router.unload({ ...jsonOf<UnloadCall>(body), call })
    return Response.json({})
  }
  if (method === 'POST' && path === STATISTICS_PATH && call) {
    return Response.json(await deps.router.statistics({ ...jsonOf<StatisticsCall>(body), call }))
  }
  if (method === 'POST' && (path === MEASURES_PATH || path === GROWTH_PATH)) {
    const told = toldFrom(jsonOf<Told>(body))
    const now = deps.clock.now()
    edges.absorb(told.growth)
    isolates.tell(told, now)
    if (path === GROWTH_PATH) return new Response(null, { status: 204 })
    const counted = [...edges.snapshot(), ...isolates.snapshot(now)]
    const readings = [{ process: 'edge', snapshot: counted }, ...(await deps.readings())]
    return Response.json(readings.map(reading => ({ ...reading, process: nameIn(deps, reading) })))
  }
  if (method !== 'POST' || url.pathname !== INFER_PATH || !call) {
    throw new AppError('not_found', {
      public: 'The router answers POST /infer, /load, /unload and /statistics, and GET /ready.',
    })
  }
  const { modelHash, modelBytes, deadline, jsonLength, form, kind } = targetOf(url.searchParams)
  if (modelBytes > 0) await learn(models, modelHash, body.subarray(0, modelBytes))
  const model = models.get(modelHash)
  if (!model) return new Response(null, { status: 409, headers: { [MODEL_WANTED_HEADER]: '1' } })
  const reply = await deps.router.infer(
    { call, model, body: body.subarray(modelBytes), form, jsonLength, deadline, kind },
    request.signal,
  )
  const headers = new Headers({
    [RECEIPT_HEADER]: reply.receiptId,
    [COMPUTE_HEADER]: String(reply.computeUs),
  })
  if (reply.jsonLength !== null) headers.set(JSON_LENGTH_HEADER, String(reply.jsonLength))
  return new Response(reply.body as Uint8Array<ArrayBuffer>, { headers })
}

/** Runners dial each router, and are the same wherever they are asked. */
function nameIn({ instance }: RouterHttpDeps, { process }: Reading): string {
  return instance && OWN.includes(process) ? `${process}-${instance}` : process
}

function jsonOf<T>(body: Uint8Array): T {
  return JSON.parse(new TextDecoder().decode(body)) as T
}

async function bodyOf(request: Request): Promise<Uint8Array> {
  const length = Number(request.headers.get('content-length') ?? 0)
  if (length > INFERENCE_BODY_BYTES_MAX + MODEL_BYTES_MAX) throw new AppError('payload_too_large')
  return new Uint8Array(await request.arrayBuffer())
}

async function learn(models: Map<string, Servable>, hash: string, bytes: Uint8Array) {
  if ((await sha256Hex(bytes)) !== hash) {
    throw new AppError('invalid_request', { public: 'The version described is not the one named.' })
  }
  if (models.size >= MODELS_MAX) models.delete(models.keys().next().value!)
  models.set(hash, modelFrom(bytes))
}

async function readiness(router: InferenceRouter): Promise<Response> {
  return new Response(null, { status: (await router.ready()) ? 204 : 503 })
}

function refusal(log: Log, request: Request, error: unknown): Response {
  const document = problem(error, '')
  if (!(error instanceof AppError) || error.code === 'unauthenticated') {
    log.error('router.request_failed', { url: request.url, error: String(error) })
  }
  const headers = new Headers({ 'content-type': 'application/problem+json' })
  if (error instanceof AppError && error.retryAfterS !== undefined) {
    headers.set('retry-after', String(error.retryAfterS))
  }
  return Response.json(document, { status: document.status, headers })
}
