/**
 * What is published is waited for here, where who waits costs nothing: a function is paid for its time, and
 * of those that answer the control API there are few at once.
 */
import type { Context } from 'hono'
import type { Call } from '#core/caller.ts'
import { AppError } from '#core/error.ts'
import type { ShownVersion } from '#core/models/models.ts'
import type { Edge } from '../edge.ts'
import { ask } from '../functions-client.ts'

/** Below what load balancers and clients commonly wait for an answer. */
const WAIT_MS_MAX = 50_000
const POLL_FIRST_MS = 100
const POLL_MAX_MS = 1_000

/**
 * The version when it is ready, or as it is when the wait is over: the caller may ask again. Throws
 * `invalid_model` with what is wrong.
 */
export async function publishing(
  edge: Edge,
  c: Context,
  { caller }: Call,
  carried: Promise<Response>,
): Promise<Response> {
  const { deps } = edge
  const reply = await carried
  if (!reply.ok) return reply
  const stored = (await reply.json()) as ShownVersion
  let isAlone = false
  const leave = () => {
    isAlone = true
  }
  deps.http.departed(c)?.addEventListener('abort', leave, { once: true })
  const { tenantId } = caller
  const asked = { tenantId, model: stored.model, version: stored.version }
  const until = deps.clock.now() + WAIT_MS_MAX
  let now = stored
  for (let pauseMs = POLL_FIRST_MS; ; pauseMs = Math.min(pauseMs * 1.5, POLL_MAX_MS)) {
    if (now.state !== 'validating' || isAlone || deps.clock.now() > until) break
    await new Promise(resolve => setTimeout(resolve, pauseMs))
    try {
      now = await ask<ShownVersion>(deps, '/internal/models/published', asked)
    } catch (error) {
      if (error instanceof AppError && !error.retryable && error.status < 500) throw error
      // It is published, and nobody can tell now what has become of it.
      break
    }
  }
  // Somebody may have looked for it meanwhile, and found that it does not serve.
  edge.models.forget(tenantId, stored.model)
  const { status, headers } = reply
  return new Response(JSON.stringify(now), { status, headers })
}
