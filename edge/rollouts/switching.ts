/**
 * Changes that send requests to another version: it is warm before they are made. One that cannot be
 * loaded is refused, and what served before goes on serving; whoever dies in between has changed nothing.
 */
import type { Context } from 'hono'
import type { Call } from '#core/caller.ts'
import type { Servable } from '#core/deps.ts'
import { AppError } from '#core/error.ts'
import type { aliases } from '#core/models/models.ts'
import type { SwitchId } from '#schemas/ids.ts'
import type { Route } from '#schemas/route.ts'
import type { EdgeDeps } from '../deps.ts'
import { ask } from '../functions-client.ts'
import type { Answering } from './answering.ts'

/** Below what the caller of the control API waits. */
const LOAD_MS_MAX = 55_000

type Carry = (body: Uint8Array | null) => Promise<Response>
type Edge = { deps: EdgeDeps; answering: Answering }

export async function switching(edge: Edge, c: Context, call: Call, route: Route, carry: Carry) {
  const { deps } = edge
  const body = route.body ? await deps.http.body(c, route.bodyBytesMax) : null
  const change = changeOf(route.name, c, body)
  // What is no change at all is told so by the control API.
  if (!change) return carry(body)
  const planned = await ask<aliases.Planned>(deps, '/internal/models/switch', { call, change })
  if (planned.to) await warm(edge, call, change, planned, planned.to)
  const reply = await carry(body)
  if (!reply.ok || change.kind === 'canary' || change.kind === 'shadow') return reply
  const { switch: made } = (await reply.clone().json()) as { switch: Made }
  const { id, alias, from, to } = made
  const { tenantId } = call.caller
  edge.answering.watch.begin({ tenantId, model: change.model, alias, id, from, to })
  return reply
}

type Made = { id: SwitchId; alias: string; from: number | null; to: number | null }

async function warm(
  { deps }: Edge,
  call: Call,
  change: aliases.Change,
  { alias, from }: aliases.Planned,
  to: Servable,
): Promise<void> {
  const deadline = deps.clock.now() + LOAD_MS_MAX
  try {
    await deps.router.load({ call, model: to, instead: from?.digest ?? null, deadline })
  } catch (error) {
    const reason = error instanceof AppError ? error.public : 'something went wrong on our side'
    const versions = { from: from?.version ?? null, to: to.version }
    const refused = { call, change, alias, ...versions, reason }
    await ask(deps, '/internal/models/switch-refused', refused)
    throw refusal(error, { alias, reason, ...versions })
  }
}

/** What may pass keeps its code, so that clients try again; what a version says of itself is final. */
function refusal(
  cause: unknown,
  { alias, reason, from, to }: { alias: string; reason: string; from: number | null; to: number },
): AppError {
  const stays = from === null ? 'nothing was changed' : `"${alias}" stays at version ${from}`
  const text = `Version ${to} could not be loaded, so ${stays}: ${reason}`
  const known = cause instanceof AppError ? cause : null
  const code = known?.retryable ? known.code : 'not_loaded'
  const { retryAfterS } = known ?? {}
  return new AppError(code, { public: text, internal: String(cause), retryAfterS, cause })
}

function changeOf(name: string, c: Context, body: Uint8Array | null): aliases.Change | null {
  const { model, alias: named } = c.req.param() as { model: string; alias?: string }
  if (name === 'models.promote') return { kind: 'promote', model, alias: '' }
  const given = objectOf(body)
  if (!given) return null
  const { version, mode = 'canary', alias = named ?? 'champion' } = given
  if (typeof alias !== 'string') return null
  if (name === 'models.rollback') return { kind: 'rollback', model, alias }
  if (!Number.isSafeInteger(version) || (version as number) < 1) return null
  const wanted = { model, alias, version: version as number }
  if (name === 'models.alias') return { kind: 'flip', ...wanted }
  return mode === 'canary' || mode === 'shadow' ? { kind: mode, ...wanted } : null
}

function objectOf(body: Uint8Array | null): Record<string, unknown> | null {
  try {
    const given = JSON.parse(new TextDecoder().decode(body ?? new Uint8Array()))
    return typeof given === 'object' && given !== null && !Array.isArray(given) ? given : null
  } catch {
    return null
  }
}
