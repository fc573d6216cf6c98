/** The end of `publish`: the caller hears how validation ended, not that it began. */
import type { Context } from 'hono'
import type { Call } from '#core/caller.ts'
import type { ShownVersion } from '#core/models/models.ts'
import type { Edge } from '../edge.ts'
import { waitedFor } from './wait.ts'

/**
 * The version when it is ready, or as it is when the wait is over: the caller may ask again. Throws
 * `invalid_model` with what is wrong.
 */
export async function publishing(
  edge: Edge,
  c: Context,
  { caller: { tenantId } }: Call,
  carried: Promise<Response>,
): Promise<Response> {
  const reply = await carried
  if (!reply.ok) return reply
  const begun = (await reply.json()) as ShownVersion
  const { model, version } = begun
  const now = await waitedFor(edge.deps, c, {
    begun,
    waits: ({ state }) => state === 'validating',
    path: '/internal/models/published',
    asked: { tenantId, model, version },
  })
  // Somebody may have looked for it meanwhile, and found that it does not serve.
  edge.models.forget(tenantId, model)
  const { status, headers } = reply
  return new Response(JSON.stringify(now), { status, headers })
}
