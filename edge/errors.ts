/** The one place of the edge where a fault becomes a reply. */

import type { Log } from '#core/deps.ts'
import { AppError, inFull, problem } from '#core/error.ts'
import type { Route } from '#schemas/route.ts'

export type About = { requestId: string; form: Route['errors']; tenant?: string; route?: string }

/** What is to be shown instead (RFC 9110 §11.6.1). */
const CHALLENGES: Record<string, string> = {
  unauthenticated: 'Bearer',
  invalid_signature: 'Signature',
}

/** Problem details, or the form that the route's protocol fixes. Unknown faults are logged whole. */
export function errorReply(log: Log, error: unknown, about: About): Response {
  const { requestId, form, tenant, route } = about
  const document = problem(error, requestId)
  if (document.status >= 500) {
    const { code } = document
    log.error('edge.failed', {
      request_id: requestId,
      tenant,
      route,
      code,
      error: inFull(error),
    })
  }
  const retryAfterS = error instanceof AppError ? error.retryAfterS : undefined
  const headers: Record<string, string> = { 'galley-request-id': requestId }
  if (retryAfterS !== undefined) headers['retry-after'] = String(retryAfterS)
  if (document.code in CHALLENGES) headers['www-authenticate'] = CHALLENGES[document.code]!
  // The KServe client reads the text only if the content type is exactly this, without a charset.
  headers['content-type'] = form === 'oip' ? 'application/json' : 'application/problem+json'
  const body = form === 'oip' ? { error: document.detail, ...document } : document
  return new Response(JSON.stringify(body), { status: document.status, headers })
}
