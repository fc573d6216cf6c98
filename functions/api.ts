/** The control API: every route of the contract that the functions answer, behind the edge's signature. */
import { Hono } from 'hono'
import type { Call } from '#core/caller.ts'
import { AppError, inFull, problem } from '#core/error.ts'
import { TOKEN_HEADER, type Verified } from '#core/internal/signing.ts'
import type { OpenSpan } from '#core/trace.ts'
import { contextIn } from '#platform/traces/context.ts'
import { ROUTES } from '#schemas/contracts/all.ts'
import type { Route } from '#schemas/route.ts'
import type { FunctionsDeps } from './deps.ts'
import { type Handler, handlers } from './handlers.ts'
import * as idempotency from './idempotency.ts'
import { inTenant } from './in-tenant.ts'
import { type Input, inputOf } from './input.ts'
import { INTERNAL } from './internal.ts'
import * as traces from './traces/requests.ts'

type Signed = { claims: Verified; body: Uint8Array }

export function createApi(deps: FunctionsDeps): (request: Request) => Promise<Response> {
  const app = new Hono()
  for (const route of ROUTES as readonly Route[]) {
    const handler = handlers[route.name as keyof typeof handlers] as Handler<Input> | undefined
    if (!handler) continue
    app.on(route.method, route.path, c => {
      const { raw: request } = c.req
      return answer(deps, { route, handler, request, params: c.req.param() })
    })
  }
  for (const internal of INTERNAL) {
    app.post(internal.path, async c => c.json(await answerPlace(deps, internal, c.req.raw)))
  }
  app.notFound(() => reply(problem(new AppError('not_found'), 'unknown')))
  app.onError((error, c) => {
    const document = problem(error, 'unknown')
    if (document.status >= 500) {
      deps.log.error('functions.failed', { path: c.req.path, error: inFull(error) })
    }
    return reply(document, error)
  })
  return async request => app.fetch(request)
}

async function answerPlace(
  deps: FunctionsDeps,
  { path, from, handle }: (typeof INTERNAL)[number],
  request: Request,
): Promise<unknown> {
  const began = performance.now()
  let status = 500
  let fault: unknown
  let span: OpenSpan | null = null
  try {
    const { claims, body } = await open(deps, request)
    if (!from.includes(claims.from)) throw new AppError('unauthenticated')
    const input = JSON.parse(new TextDecoder().decode(body))
    span = traces.begin(deps.tracer, contextIn(input?.trace))
    // What is put off is asked for by this span.
    const asked = span ? { ...input, trace: span.context } : input
    const reply = await handle(deps, asked, request.signal)
    status = 200
    return reply ?? {}
  } catch (error) {
    if (error instanceof AppError) status = error.status
    fault = error
    throw error
  } finally {
    deps.measures?.answered(path, status, performance.now() - began)
    if (span)
      traces.end(deps.tracer!, span, { method: 'POST', path, status, attributes: {}, fault })
  }
}

/** One request of a caller, as it goes from the door to the verb. */
type Asked = {
  route: Route
  handler: Handler<Input>
  request: Request
  params: Record<string, string>
}

async function answer(deps: FunctionsDeps, asked: Asked): Promise<Response> {
  const began = performance.now()
  let call: Call | null = null
  let outcome: Response
  let fault: unknown
  let span: OpenSpan | null = null
  try {
    const signed = await open(deps, asked.request)
    const { claims } = signed
    if (claims.from !== 'edge' || !claims.call) throw new AppError('unauthenticated')
    call = claims.call
    span = traces.begin(deps.tracer, call.trace)
    if (span) call = { ...call, trace: span.context }
    mustHave(call, asked.route)
    outcome = await dispatch(deps, asked, call, signed)
  } catch (error) {
    fault = error
    outcome = reply(problem(error, call?.requestId ?? 'unknown'), error)
  }
  const ms = performance.now() - began
  deps.measures?.answered(asked.route.name, outcome.status, ms)
  if (span) {
    const { method, path } = asked.route
    const attributes = {
      'galley.request.id': call!.requestId,
      'galley.tenant.id': call!.caller.tenantId,
    }
    const { status } = outcome
    traces.end(deps.tracer!, span, { method, path, status, attributes, fault })
  }
  deps.log[outcome.status >= 500 ? 'error' : 'info']('functions.request', {
    request_id: call?.requestId,
    trace_id: call?.trace?.traceId,
    tenant: call?.caller.tenantId,
    key: call?.caller.keyId,
    route: asked.route.name,
    status: outcome.status,
    ms: Math.round(ms * 100) / 100,
    ...(outcome.status >= 500 && { error: inFull(fault) }),
  })
  return outcome
}

/** The edge has checked it for the path that it saw; this is for the one that is answered. */
function mustHave({ caller }: Call, { policy: { scope } }: Route): void {
  if (scope === 'any' || (caller.scopes as string[]).includes(scope)) return
  throw new AppError('insufficient_scope', {
    public: `This needs a key with the scope "${scope}".`,
  })
}

async function dispatch(
  deps: FunctionsDeps,
  { route, handler, request, params }: Asked,
  call: Call,
  { claims, body }: Signed,
): Promise<Response> {
  const input = inputOf(route, { url: request.url, params, body })
  if ('run' in handler) return json(route.status, await handler.run(deps, call, input))
  const { tenantId } = call.caller
  const key = route.idempotent ? idempotency.keyOf(request.headers.get('idempotency-key')) : null
  const { reply: stored, replayed } = await inTenant(
    deps,
    { tenantId, trace: call.trace },
    async unit => {
      const { suppliedClasses } = deps
      const work = () => handler.tx({ ...unit, suppliedClasses }, call, input)
      if (key === null) return { reply: await work(), replayed: false }
      const fingerprint = `${claims.method} ${claims.path} ${claims.body}`
      const seal = route.secret ? sealOf(claims) : undefined
      return idempotency.once(unit, { tenantId, route: route.name, key, fingerprint, seal }, work)
    },
  )
  const final = handler.settle ? await handler.settle(deps, call, stored) : stored
  return json(route.status, final, replayed ? { 'idempotent-replayed': 'true' } : {})
}

function sealOf({ seal }: Verified): string {
  if (seal) return seal
  throw new AppError('internal', { internal: 'a reply with a secret came without a seal for it' })
}

async function open(deps: FunctionsDeps, request: Request): Promise<Signed> {
  const body = new Uint8Array(await request.arrayBuffer())
  const url = new URL(request.url)
  const claims = await deps.verifier.verify(
    request.headers.get(TOKEN_HEADER),
    { method: request.method, path: url.pathname + url.search, body },
    deps.clock.now(),
  )
  return { claims, body }
}

function json(status: number, body: unknown, headers: Record<string, string> = {}): Response {
  return Response.json(body, { status, headers })
}

function reply(document: ReturnType<typeof problem>, error?: unknown): Response {
  const retryAfterS = error instanceof AppError ? error.retryAfterS : undefined
  return Response.json(document, {
    status: document.status,
    headers: {
      'content-type': 'application/problem+json',
      ...(retryAfterS !== undefined && { 'retry-after': String(retryAfterS) }),
    },
  })
}
