/** What the functions answer: the request goes on to them as it is, and their reply comes back. */
import type { Context } from 'hono'
import type { Call, Caller } from '#core/caller.ts'
import { fromProblem } from '#core/error.ts'
import { fromHex, sha256Hex, toBase64Url } from '#core/internal/signing.ts'
import type { Route } from '#schemas/route.ts'
import type { Edge } from '../edge.ts'
import { send } from '../functions-client.ts'

/** What a reply of the functions says besides its body; the rest belongs to the connection. */
const CARRIED_HEADERS = ['content-type', 'retry-after', 'idempotent-replayed']

/** Carries a request to the functions, and their reply back as it is. */
export async function carry(
  edge: Edge,
  c: Context,
  call: Call,
  route: Route,
  read?: Uint8Array | null,
): Promise<Response> {
  const { deps } = edge
  const url = new URL(c.req.url)
  const reply = await send(deps, {
    call,
    method: route.method,
    path: url.pathname + url.search,
    body: read ?? (route.body ? await deps.http.body(c, route.bodyBytesMax) : null),
    idempotencyKey: deps.http.header(c, 'idempotency-key'),
    seal: route.secret ? await sealOf(deps.http.header(c, 'authorization')!) : undefined,
  })
  if (!reply.ok && route.errors !== 'problem') {
    throw fromProblem(await reply.json().catch(() => ({})), reply.headers.get('retry-after'))
  }
  if (route.method !== 'GET' && reply.ok) forget(edge, route, call.caller, c.req.param('model'))
  const headers: Record<string, string> = { 'galley-request-id': call.requestId }
  for (const name of CARRIED_HEADERS) {
    const value = reply.headers.get(name)
    if (value !== null) headers[name] = value
  }
  return new Response(reply.body, { status: reply.status, headers })
}

/** What was just changed through this edge holds here at once. */
function forget(edge: Edge, { name }: Route, { tenantId }: Caller, model?: string): void {
  const held: Record<string, { forget(tenantId: string, model?: string): void }[]> = {
    keys: [edge.auth],
    tenants: [edge.auth],
    models: [edge.models],
    event_types: [edge.eventTypes, edge.feast],
    hooks: [edge.hooks],
    views: [edge.feast],
    services: [edge.services, edge.feast],
    endpoints: [edge.endpoints],
  }
  for (const each of held[name.split('.')[0]!] ?? []) each.forget(tenantId, model)
}

/** The key under which a reply with a secret is stored: only who sends the API key can open it. */
async function sealOf(authorization: string): Promise<string> {
  return toBase64Url(fromHex(await sha256Hex(`galley idempotency seal\n${authorization}`)))
}
