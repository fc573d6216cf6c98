/** The end of an upload: the caller hears what its parts came to, not that they are being verified. */
import type { Context } from 'hono'
import type { Call } from '#core/caller.ts'
import type { uploads } from '#core/models/models.ts'
import type { Edge } from '../edge.ts'
import { waitedFor } from './wait.ts'

/** The upload, or `verifying` when the wait is over. Throws what is wrong with its parts. */
export async function verifying(
  { deps }: Edge,
  c: Context,
  { caller: { tenantId } }: Call,
  carried: Promise<Response>,
): Promise<Response> {
  const reply = await carried
  if (!reply.ok) return reply
  const begun = (await reply.json()) as uploads.ShownUpload
  const now = await waitedFor(deps, c, {
    begun,
    waits: ({ state }) => state === 'verifying',
    path: '/internal/uploads/verified',
    asked: { tenantId, uploadId: begun.id },
  })
  const { status, headers } = reply
  return new Response(JSON.stringify(now), { status, headers })
}
