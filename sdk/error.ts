/** The one fault of the client: what the API said was wrong, or that it could not be asked. */
import type { ErrorCode } from './contract.generated.ts'

export type GalleyErrorCode =
  | ErrorCode
  /** No answer: the connection was refused, or broke. */
  | 'network'
  /** No answer within the time that the caller gave. */
  | 'timeout'
  /** The job that was waited for failed, was canceled or expired. */
  | 'job_not_done'
  /** An answer that Galley does not give: something else stands at this URL, or in between. */
  | 'unexpected_reply'

export type FieldError = { pointer: string; detail: string }

type Detail = {
  status?: number
  requestId?: string
  errors?: FieldError[]
  retryAfterMs?: number
  cause?: unknown
}

export class GalleyError extends Error {
  readonly code: GalleyErrorCode
  /** The HTTP status; 0 where there was no answer. */
  readonly status: number
  /** What was wrong and what would be right. */
  readonly detail: string
  readonly requestId: string | undefined
  /** Which fields of the body were wrong. */
  readonly errors: FieldError[] | undefined
  /** How long the server asks to wait before another try. */
  readonly retryAfterMs: number | undefined

  constructor(code: GalleyErrorCode, text: string, detail: Detail = {}) {
    super(`${text} (${code})`, { cause: detail.cause })
    this.name = 'GalleyError'
    this.code = code
    this.status = detail.status ?? 0
    this.detail = text
    this.requestId = detail.requestId
    this.errors = detail.errors
    this.retryAfterMs = detail.retryAfterMs
  }
}

/** The error that a reply describes: an RFC 9457 problem, or something that is none of ours. */
export async function errorOf(response: Response, nowMs: number): Promise<GalleyError> {
  const { status } = response
  const text = await response.text().catch(() => '')
  const document = parsed(text)
  const common = {
    status,
    requestId: document.request_id ?? response.headers.get('galley-request-id') ?? undefined,
    retryAfterMs: retryAfterMs(response.headers.get('retry-after'), nowMs),
  }
  if (document.code && document.detail) {
    return new GalleyError(document.code, document.detail, { ...common, errors: document.errors })
  }
  const at = new URL(response.url).origin
  return new GalleyError(
    'unexpected_reply',
    `${at} answered ${status}, and not in Galley's form: is it the URL of a Galley?`,
    common,
  )
}

/** `Retry-After` in either form of RFC 9110 §10.2.3: seconds, or a date. */
function retryAfterMs(header: string | null, nowMs: number): number | undefined {
  if (header === null) return undefined
  const ms = /^\d+$/.test(header) ? Number(header) * 1000 : Date.parse(header) - nowMs
  return Number.isFinite(ms) ? Math.max(0, ms) : undefined
}

type Problem = {
  code?: ErrorCode
  detail?: string
  request_id?: string
  errors?: FieldError[]
}

function parsed(text: string): Problem {
  try {
    return (JSON.parse(text) as Problem | null) ?? {}
  } catch {
    return {}
  }
}
