/** The control API: every route of the contract that the functions answer, behind the edge's signature. */
import { Hono } from 'hono'
import type { Call } from '#core/caller.ts'
import type { Unit } from '#core/deps.ts'
import { AppError, problem } from '#core/error.ts'
import { TOKEN_HEADER, type Verified } from '#core/internal/signing.ts'
import { ROUTES } from '#schemas/contracts/all.ts'
import type { RequestId } from '#schemas/ids.ts'
import type { Route } from '#schemas/route.ts'
import type { FunctionsDeps } from './deps.ts'
import { type Handler, handlers } from './handlers.ts'
import * as idempotency from './idempotency.ts'
import { INTERNAL } from './internal.ts'

type Input = Record<string, unknown>

export function createApi(deps: FunctionsDeps): (request: Request) => Promise<Response> {
  const app = new Hono()
  for (const route of ROUTES as readonly Route[]) {
    const handler = handlers[route.name as keyof typeof handlers] as Handler<Input> | undefined
    if (!handler) continue
    app.on(route.method, route.path, c => answer(deps, route, handler, c.req.raw, c.req.param()))
  }
  for (const { path, from, handle } of INTERNAL) {
    app.post(path, async c => {
      const { claims, body } = await open(deps, c.req.raw)
      if (!from.includes(claims.from)) throw new AppError('unauthenticated')
      const reply = await handle(deps, JSON.parse(new TextDecoder().decode(body)), c.req.raw.signal)
      deps.promised()
      return c.json(reply ?? {})
    })
  }
  app.notFound(() => reply(problem(new AppError('not_found'), 'unknown')))
  app.onError((error, c) => {
    const document = problem(error, 'unknown')
    if (document.status >= 500) {
      deps.log.error('functions.failed', { path: c.req.path, error: describe(error) })
    }
    return reply(document, error)
  })
  return async request => app.fetch(request)
}

async function answer(
  deps: FunctionsDeps,
  route: Route,
  handler: Handler<Input>,
  request: Request,
  params: Record<string, string>,
): Promise<Response> {
  const began = performance.now()
  let requestId: RequestId | string = 'unknown'
  let outcome: Response
  let fault: unknown
  try {
    const { claims, body } = await open(deps, request)
    if (claims.from !== 'edge' || !claims.call) throw new AppError('unauthenticated')
    requestId = claims.call.requestId
    outcome = await dispatch(deps, route, handler, claims.call, claims, request, params, body)
    deps.promised()
  } catch (error) {
    fault = error
    outcome = reply(problem(error, requestId), error)
  }
  deps.log[outcome.status >= 500 ? 'error' : 'info']('functions.request', {
    request_id: requestId,
    route: route.name,
    status: outcome.status,
    ms: Math.round((performance.now() - began) * 100) / 100,
    ...(outcome.status >= 500 && { error: describe(fault) }),
  })
  return outcome
}

async function dispatch(
  deps: FunctionsDeps,
  route: Route,
  handler: Handler<Input>,
  call: Call,
  claims: Verified,
  request: Request,
  params: Record<string, string>,
  body: Uint8Array,
): Promise<Response> {
  const input = { ...inputOf(route, request, body), ...params }
  if ('run' in handler) return json(route.status, await handler.run(deps, call, input))
  const header = route.idempotent ? idempotency.keyOf(request.headers.get('idempotency-key')) : null
  const { reply: stored, replayed } = await deps.db.tenant(call.caller.tenantId, async tx => {
    const unit: Unit = { tx, clock: deps.clock }
    const work = () => handler.tx(unit, call, input)
    if (header === null) return { reply: await work(), replayed: false }
    const fingerprint = `${claims.method} ${claims.path} ${claims.body}`
    const { tenantId } = call.caller
    const seal = route.secret ? claims.seal : undefined
    return idempotency.once(
      unit,
      { tenantId, route: route.name, key: header, fingerprint, seal },
      work,
    )
  })
  deps.promised()
  const final = handler.settle ? await handler.settle(deps, call, stored) : stored
  return json(route.status, final, replayed ? { 'idempotent-replayed': 'true' } : {})
}

async function open(deps: FunctionsDeps, request: Request) {
  const body = new Uint8Array(await request.arrayBuffer())
  const url = new URL(request.url)
  const claims = await deps.verifier.verify(
    request.headers.get(TOKEN_HEADER),
    { method: request.method, path: url.pathname + url.search, body },
    deps.clock.now(),
  )
  return { claims, body }
}

function inputOf(route: Route, request: Request, body: Uint8Array): Input {
  const query = parsed(
    route.query,
    Object.fromEntries(new URL(request.url).searchParams),
    'invalid_request',
    'query',
  )
  if (!route.body) return query
  const text = new TextDecoder().decode(body)
  let value: unknown
  try {
    value = text.trim() === '' ? {} : JSON.parse(text)
  } catch (cause) {
    throw new AppError('invalid_request', {
      public: `The body is not JSON: ${(cause as Error).message}.`,
    })
  }
  return { ...query, ...parsed(route.body, value, 'invalid_body', 'body') }
}

function parsed(
  schema: Route['body'],
  value: unknown,
  code: 'invalid_request' | 'invalid_body',
  what: string,
): Input {
  if (!schema) return {}
  const result = schema.safeParse(value)
  if (result.success) return result.data as Input
  const errors = result.error.issues.map(issue => ({
    pointer: `/${issue.path.join('/')}`,
    detail: issue.message,
  }))
  const first = errors[0]!
  throw new AppError(code, {
    public: `The ${what} is wrong at ${first.pointer}: ${first.detail}.`,
    errors,
  })
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

function describe(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const cause = error.cause ? `; cause: ${describe(error.cause)}` : ''
  return `${error.stack ?? error.message}${cause}`
}
