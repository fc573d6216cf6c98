/**
 * The edge: one Hono app, built from the routes' contracts, that runs on Node and on Workers. Every
 * route passes the same steps: who asks, may they, is there a token left; then its target answers.
 */
import { type Context, Hono } from 'hono'
import type { Call, Caller } from '#core/caller.ts'
import type { Backtest } from '#core/decisions/decisions.ts'
import type { OpenSpan } from '#core/trace.ts'
import { ROUTES, type RouteName } from '#schemas/contracts/all.ts'
import { newId } from '#schemas/ids.ts'
import type { Route } from '#schemas/route.ts'
import { scored } from './decisions/backtest.ts'
import type { EdgeDeps } from './deps.ts'
import { type Edge, openEdge } from './edge.ts'
import { errorReply } from './errors.ts'
import { admit, isOpen, openGate } from './middleware/gate.ts'
import { cachedRouter } from './response-cache/cached-router.ts'
import { Answering } from './rollouts/answering.ts'
import { switching } from './rollouts/switching.ts'
import { nothingAt, wrongMethod } from './routes/absent.ts'
import * as batchFiles from './routes/batch-files.ts'
import * as blobs from './routes/blobs.ts'
import { carry } from './routes/carry.ts'
import { replay } from './routes/decision-replay.ts'
import * as decisions from './routes/decisions.ts'
import { errorsPage } from './routes/docs.ts'
import * as events from './routes/events.ts'
import * as feast from './routes/feast.ts'
import * as features from './routes/features.ts'
import * as hooks from './routes/hooks.ts'
import { measures } from './routes/measures.ts'
import * as oip from './routes/oip.ts'
import * as openai from './routes/openai.ts'
import { openApi } from './routes/openapi.ts'
import * as repository from './routes/repository.ts'
import * as traces from './traces/requests.ts'
import { publishing } from './waiting/publishing.ts'
import { verifying } from './waiting/verifying.ts'

type Answer = (edge: Edge, c: Context, call: Call, route: Route) => Promise<Response> | Response

const METHODS = ['GET', 'POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS']

/** `gate`, `router` and `answering` where another door of the same process shares them. */
export function createApp(
  given: EdgeDeps,
  gate = openGate(given),
  router = cachedRouter(given),
  answering = new Answering({ ...given, router }, gate.models),
): Hono {
  const edge = openEdge({ ...given, router }, gate, answering)
  const { deps } = edge
  const app = new Hono()
  for (const route of ROUTES as readonly Route[]) {
    const answer = answerOf(route)
    app.on(route.method, route.path, c => guarded(edge, c, route, answer))
  }
  // Named one by one and not by `all`: a second handler on a path makes every request pay for both.
  for (const path of new Set(ROUTES.map(route => route.path))) {
    const taken: string[] = ROUTES.filter(route => route.path === path).map(({ method }) => method)
    const others = METHODS.filter(method => !taken.includes(method))
    app.on(others, path, () => wrongMethod(deps, path))
  }
  app.notFound(c => nothingAt(deps, c.req.path))
  return app
}

async function guarded(edge: Edge, c: Context, route: Route, answer: Answer): Promise<Response> {
  const { deps, metrics } = edge
  const { tracer, http } = deps
  const began = performance.now()
  const now = deps.clock.now()
  const requestId = newId('request', now)
  const call: Call = { caller: NOBODY, requestId }
  const span = tracer ? tracer.begin(http.header(c, 'traceparent')) : null
  if (span) call.trace = traces.contextOf(span, http.header(c, 'tracestate'))
  let status = 500
  let fault: unknown
  metrics.begin()
  try {
    if (!isOpen(route)) {
      call.caller = await admit(edge, http.header(c, 'authorization'), route, now)
    }
    const reply = await answer(edge, c, call, route)
    status = reply.status
    return reply
  } catch (error) {
    fault = error
    const tenant = call.caller.tenantId
    const traceId = call.trace?.traceId
    const about = { requestId, traceId, form: route.errors, tenant, route: route.name }
    const { headers, body, ...reply } = errorReply(deps.log, error, about)
    status = reply.status
    return deps.http.reply(c, status, headers, body)
  } finally {
    http.release(c)
    metrics.end(route.name, status, call.caller.tenantId, performance.now() - began)
    if (span) traced(edge, c, call, route, { span, status, fault })
  }
}

/** Ties the request to its trace, in the trace and in the log. */
function traced(
  { deps }: Edge,
  c: Context,
  call: Call,
  route: Route,
  { span, status, fault }: { span: OpenSpan; status: number; fault: unknown },
): void {
  const { method, path } = route
  const model = c.req.param('model')
  traces.end(deps.tracer!, span, call, {
    name: `${method} ${path}`,
    attributes: {
      'http.request.method': method,
      'http.route': path,
      'http.response.status_code': status,
      'url.path': c.req.path,
      'url.scheme': c.req.url.startsWith('https:') ? 'https' : 'http',
      ...(model !== undefined && { 'galley.model.name': model }),
    },
    fault,
  })
  const { requestId, caller } = call
  const { traceId } = span.context
  const of = { request_id: requestId, trace_id: traceId, tenant: caller.tenantId }
  deps.log.info('edge.request', { ...of, route: route.name, status })
}

const BY_NAME: Partial<Record<RouteName, Answer>> = {
  'health.live': () => oip.live(),
  'health.ready': ({ deps }) => oip.ready(deps),
  'docs.errors': () => errorsPage(),
  metrics: async ({ deps }, _, call) => named(call, await measures(deps)),
  openapi: () => openApi(),
  'oip.server': () => oip.server(),
  'oip.live': () => oip.live(),
  'oip.ready': ({ deps }) => oip.ready(deps),
  'oip.metadata': async ({ models }, c, call) => named(call, await oip.metadata(models, c, call)),
  'oip.metadata_version': async ({ models }, c, call) =>
    named(call, await oip.metadata(models, c, call)),
  'oip.model_ready': async ({ models }, c, call) =>
    named(call, await oip.modelReady(models, c, call)),
  'oip.version_ready': async ({ models }, c, call) =>
    named(call, await oip.modelReady(models, c, call)),
  'oip.config': async ({ models }, c, call) => named(call, await oip.config(models, c, call)),
  'oip.config_version': async ({ models }, c, call) =>
    named(call, await oip.config(models, c, call)),
  'oip.stats': stats,
  'oip.model_stats': stats,
  'oip.version_stats': stats,
  'oip.index': async ({ deps }, c, call) => named(call, await repository.index(deps, c, call)),
  'oip.load': async ({ deps, models }, c, call) =>
    named(call, await repository.load(deps, models, c, call)),
  'oip.unload': async ({ deps }, c, call) => named(call, await repository.unload(deps, c, call)),
  'openai.embeddings': ({ deps, answering }, c, call) =>
    openai.embeddings(deps, answering, c, call),
  'oip.infer': ({ deps, answering }, c, call) => oip.infer(deps, answering, c, call),
  'oip.infer_version': ({ deps, answering }, c, call) => oip.infer(deps, answering, c, call),
  'models.publish': (edge, c, call, route) =>
    publishing(edge, c, call, carry(edge, c, call, route)),
  'uploads.complete': (edge, c, call, route) =>
    verifying(edge, c, call, carry(edge, c, call, route)),
  'models.alias': switched,
  'models.rollout': switched,
  'models.promote': switched,
  'models.rollback': switched,
  'events.send': async ({ deps, eventTypes }, c, call) =>
    named(call, await events.send(deps, eventTypes, c, call)),
  'hooks.receive': async (edge, c, call) => named(call, await hooks.receive(edge, c, call)),
  'decisions.decide': (edge, c, call) => decisions.decide(edge, c, call),
  'endpoints.backtest': async (edge, c, call, route) => {
    const tried = await carry(edge, c, call, route)
    if (!tried.ok) return tried
    return named(call, Response.json(await scored(edge, call, (await tried.json()) as Backtest)))
  },
  'decisions.replay': async (edge, c, call) => named(call, await replay(edge, c, call)),
  'features.read': (edge, c, call) => features.read(edge, c, call),
  'feast.read': (edge, c, call) => feast.read(edge, c, call),
  'feast.health': () => new Response(null),
  'openai.create_file': async (edge, c, call, route) => {
    const reply = await carry(edge, c, call, route)
    const grant = (await reply.json()) as batchFiles.FileGrant
    return named(call, await batchFiles.store(edge.deps, c, call, grant))
  },
  'openai.file_content': granted<blobs.FileGrant>(blobs.getFile),
  'uploads.part': granted<blobs.PartGrant>(blobs.putPart),
  'jobs.results': granted<blobs.FileGrant>(blobs.getFile),
  'events.segment_content': granted<blobs.FileGrant>(blobs.getFile),
  'inferences.segment_content': granted<blobs.FileGrant>(blobs.getFile),
  'events.export_rest': granted<blobs.FileGrant>(blobs.getFile),
}

async function stats({ deps, models }: Edge, c: Context, call: Call): Promise<Response> {
  return named(call, await repository.statistics(deps, models, c, call))
}

/** The control API says which bytes are meant, and they pass through here. */
function granted<G>(move: (deps: EdgeDeps, c: Context, grant: G) => Promise<Response>): Answer {
  return async (edge, c, call, route) => {
    const reply = await carry(edge, c, call, route)
    if (!reply.ok) return reply
    return named(call, await move(edge.deps, c, (await reply.json()) as G))
  }
}

/** The version that is to serve is warm before the control API lets it. */
function switched(edge: Edge, c: Context, call: Call, route: Route): Promise<Response> {
  return switching(edge, c, call, route, body => carry(edge, c, call, route, body))
}

function named({ requestId }: Call, reply: Response): Response {
  reply.headers.set('galley-request-id', requestId)
  return reply
}

function answerOf(route: Route): Answer {
  const own = BY_NAME[route.name as RouteName]
  if (own) return own
  if (route.policy.target === 'functions') return carry
  throw new Error(`The route ${route.name} has no answer at the edge`)
}

const NOBODY = {
  tenantId: '' as Caller['tenantId'],
  keyId: '' as Caller['keyId'],
  scopes: [],
  plan: 'standard',
  project: null,
  tags: {},
} satisfies Caller
