/** The one place of the edge where a fault becomes a reply. */

import type { Log } from '#core/deps.ts'
import { AppError, inFull, isWorthALine, openaiError, type Problem, problem } from '#core/error.ts'
import type { Route } from '#schemas/route.ts'
import { CODINGS } from './coding.ts'

export type About = {
  requestId: string
  /** Of a request that is traced. */
  traceId?: string | undefined
  form: Route['errors']
  tenant?: string
  route?: string
}

/** What is to be shown instead (RFC 9110 §11.6.1). */
const CHALLENGES: Record<string, string> = {
  unauthenticated: 'Bearer',
  invalid_signature: 'Signature',
}

export type ErrorReply = { status: number; headers: Record<string, string>; body: string }

/** Problem details, or the form that the route's protocol fixes. Unknown faults are logged whole. */
export function errorReply(log: Log, error: unknown, about: About): ErrorReply {
  const { requestId, traceId, form, tenant, route } = about
  const document = problem(error, requestId)
  if (isWorthALine(error)) {
    const { code } = document
    log.error('edge.failed', {
      request_id: requestId,
      trace_id: traceId,
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
  // Those that the sender may choose from instead (RFC 9110 §15.5.16).
  if (document.code === 'unsupported_media_type' && form === 'oip') {
    headers['accept-encoding'] = CODINGS.join(', ')
  }
  // The KServe client reads the text only if the content type is exactly this, without a charset.
  headers['content-type'] = form === 'problem' ? 'application/problem+json' : 'application/json'
  return { status: document.status, headers, body: JSON.stringify(bodyOf(form, document)) }
}

function bodyOf(form: Route['errors'], document: Problem) {
  if (form === 'oip') return { error: document.detail, ...document }
  if (form === 'openai') return { error: openaiError(document), ...document }
  return form === 'feast' ? feastError(document) : document
}

/** What its client raises: the JSON text of an exception's class and message. */
function feastError({ code, detail, errors, request_id }: Problem): string {
  const [{ pointer } = { pointer: '' }] = errors ?? []
  const missing = pointer.startsWith('/features') ? 'FeatureView' : 'FeatureService'
  const name =
    code === 'not_found' && pointer !== ''
      ? `${missing}NotFoundException`
      : (FEAST_ERRORS[code] ?? 'FeastError')
  return JSON.stringify({
    module: 'feast.errors',
    class: name,
    message: detail,
    code,
    request_id,
  })
}

const FEAST_ERRORS: Record<string, string> = {
  not_found: 'FeastObjectNotFoundException',
  insufficient_scope: 'FeastPermissionError',
}
