/**
 * The gRPC service, message by message and without a runtime: each method answers under the policy of the
 * HTTP route that does the same, passes the same gate, and ends at the same router.
 */
import type { Call } from '#core/caller.ts'
import { AppError, inFull, isWorthALine } from '#core/error.ts'
import { modelConfig, modelMetadata } from '#core/inference/metadata.ts'
import type { OpenSpan } from '#core/trace.ts'
import { ROUTES, type RouteName } from '#schemas/contracts/all.ts'
import { newId } from '#schemas/ids.ts'
import type { Route } from '#schemas/route.ts'
import * as repository from '../inference/repository.ts'
import { statusOf } from '../metrics/requests.ts'
import { admit, isOpen } from '../middleware/gate.ts'
import { SERVER } from '../routes/oip.ts'
import * as traces from '../traces/requests.ts'
import type { Answer, Answered, Asking, GrpcEdge } from './edge.ts'
import { infer, inferInStream } from './infer.ts'
import type { Named, RepositoryRequest } from './messages.ts'
import { codeName, type Fault, faultOf } from './status.ts'

/** By the name of the method; the route is the one whose policy it goes by. */
const METHODS: Record<string, { route: RouteName; answer: Answer<never> }> = {
  ServerLive: method('oip.live', async () => plain({ live: true })),
  ServerReady: method('oip.ready', async ({ deps }) => plain({ ready: await deps.router.ready() })),
  ServerMetadata: method('oip.server', async () => plain(SERVER)),
  ModelReady: method('oip.model_ready', modelReady),
  ModelMetadata: method('oip.metadata', metadata),
  ModelConfig: method('oip.config', config),
  ModelStatistics: method('oip.stats', statistics),
  RepositoryIndex: method('oip.index', index),
  RepositoryModelLoad: method('oip.load', load),
  RepositoryModelUnload: method('oip.unload', unload),
  ModelInfer: method('oip.infer', infer),
  ModelStreamInfer: method('oip.infer', inferInStream),
}

/** As the protocol names it. */
const SERVICE = 'inference.GRPCInferenceService'

export const METHOD_NAMES = Object.keys(METHODS)

/** Before a message is read: whether it is sent with a key that works. Throws a Fault. */
export async function knock(
  edge: GrpcEdge,
  name: string,
  authorization: string | undefined,
): Promise<void> {
  const method = METHODS[name]
  if (!method || isOpen(routeOf(method))) return
  const { metrics, deps } = edge
  const { clock } = deps
  const began = performance.now()
  try {
    if (!edge.auth.known(authorization, clock.now())) await edge.auth.caller(authorization)
  } catch (error) {
    metrics.begin()
    metrics.end(method.route, statusOf(error), '', performance.now() - began)
    throw told(edge, error, { requestId: newId('request', clock.now()) }, name)
  }
}

/** The answer to one message. Throws a Fault, and nothing else; what was ours is logged. */
export async function answer(
  edge: GrpcEdge,
  name: string,
  message: unknown,
  asking: Asking,
): Promise<Answered> {
  const method = METHODS[name]!
  const route = routeOf(method)
  const { metrics } = edge
  const began = performance.now()
  const now = edge.deps.clock.now()
  const call = { requestId: newId('request', now) } as Call
  const { tracer } = edge.deps
  const { trace } = asking
  const span = tracer && trace ? tracer.begin(trace.traceparent) : null
  if (span) call.trace = traces.contextOf(span, trace?.tracestate)
  let fault: unknown
  let status = 200
  metrics.begin()
  try {
    if (!isOpen(route)) call.caller = await admit(edge, asking.authorization, route, now)
    const answered = await method.answer(edge, call, message as never, asking)
    return { ...answered, headers: { 'galley-request-id': call.requestId, ...answered.headers } }
  } catch (error) {
    fault = error
    status = statusOf(error)
    throw told(edge, error, call, name)
  } finally {
    const { tenantId = '' } = call.caller ?? {}
    metrics.end(route.name, status, tenantId, performance.now() - began)
    if (span) traced(edge, span, call, { name, message, fault })
  }
}

function traced(
  { deps }: GrpcEdge,
  span: OpenSpan,
  call: Call,
  { name, message, fault }: { name: string; message: unknown; fault: unknown },
): void {
  const code = fault === undefined ? 0 : faultOf(fault).code
  const fullName = `${SERVICE}/${name}`
  const { model_name: model } = message as { model_name?: string }
  traces.end(deps.tracer!, span, call, {
    name: fullName,
    attributes: {
      'rpc.system.name': 'grpc',
      'rpc.method': fullName,
      'rpc.response.status_code': codeName(code),
      ...(model && { 'galley.model.name': model }),
    },
    fault,
  })
  const of = { request_id: call.requestId, trace_id: span.context.traceId }
  deps.log.info('edge.request', { ...of, tenant: call.caller?.tenantId, grpc: name, code })
}

function told({ deps }: GrpcEdge, error: unknown, call: Partial<Call>, grpc: string): Fault {
  const { requestId = '', trace } = call
  if (isWorthALine(error)) {
    const tenant = call.caller?.tenantId
    const about = { request_id: requestId, trace_id: trace?.traceId, tenant, grpc }
    deps.log.error('edge.failed', { ...about, error: inFull(error) })
  }
  const fault = faultOf(error)
  fault.trailers['galley-request-id'] = requestId
  return fault
}

function routeOf({ route }: { route: RouteName }): Route {
  return ROUTES.find(({ name }) => name === route) as Route
}

async function modelReady({ models }: GrpcEdge, call: Call, { name = '', version }: Named) {
  try {
    await models.resolve(call, name, version || undefined)
    return plain({ ready: true })
  } catch (error) {
    // "No" is an answer here; only what keeps us from knowing is a fault.
    if (error instanceof AppError && ['not_found', 'conflict'].includes(error.code)) {
      return plain({ ready: false })
    }
    throw error
  }
}

async function metadata({ models }: GrpcEdge, call: Call, { name = '', version }: Named) {
  const found = await models.resolve(call, name, version || undefined)
  return plain(modelMetadata(name, [String(found.version)], found.signature))
}

async function config({ models }: GrpcEdge, call: Call, { name = '', version }: Named) {
  const found = await models.resolve(call, name, version || undefined)
  return plain({ config: modelConfig(found) })
}

async function statistics({ deps, models }: GrpcEdge, call: Call, { name, version }: Named) {
  const which = { ...(name && { model: name }), ...(version && { version }) }
  return plain(await repository.statistics(deps, models, call, which))
}

async function index({ deps }: GrpcEdge, call: Call, { ready }: { ready?: boolean }) {
  return plain({ models: await repository.index(deps, call, { ready }) })
}

async function load({ deps, models }: GrpcEdge, call: Call, asked: RepositoryRequest) {
  const { model_name: name = '', parameters = {} } = asked
  await repository.load(deps, models, call, name, parameters)
  return plain({})
}

async function unload({ deps }: GrpcEdge, call: Call, asked: RepositoryRequest) {
  const { model_name: name = '', parameters = {} } = asked
  await repository.unload(deps, call, name, parameters)
  return plain({})
}

/** What is wrong with the key ends a stream; everything else is about one of its requests. */
export function endsStream({ trailers }: Fault): boolean {
  return ['unauthenticated', 'insufficient_scope'].includes(trailers['galley-code']!)
}

function plain(message: unknown): Answered {
  return { message, headers: {} }
}

function method<M>(route: RouteName, answer: Answer<M>) {
  return { route, answer: answer as Answer<never> }
}
