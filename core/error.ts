/** The one fault of the code: a public text for the caller, an internal one for the log. */
import { ERRORS, type ErrorCode } from '#schemas/errors.ts'

export type FieldError = { pointer: string; detail: string }
export type AppErrorDetail = {
  /** What was wrong and what would be right, for the caller. Defaults to the catalogue's title. */
  public?: string
  /** What an operator needs to know; never leaves the process except into the log. */
  internal?: string
  /** Whether the same call may succeed later. */
  retryable?: boolean
  /** Seconds after which a retry makes sense; becomes `Retry-After`. */
  retryAfterS?: number
  errors?: FieldError[]
  cause?: unknown
}

/** These come by the thousand under overload: they are counted. A line of the log each would be work of its own. */
const COUNTED = new Set<ErrorCode>(['overloaded', 'deadline_exceeded'])

export class AppError extends Error {
  readonly code: ErrorCode
  readonly public: string
  readonly retryable: boolean
  readonly retryAfterS: number | undefined
  readonly errors: FieldError[] | undefined

  constructor(code: ErrorCode, detail: AppErrorDetail = {}) {
    const framesMax = Error.stackTraceLimit
    // A stack that nobody reads costs as much as the rest of a refusal.
    if (COUNTED.has(code)) Error.stackTraceLimit = 0
    super(detail.internal ?? detail.public ?? ERRORS[code].title, { cause: detail.cause })
    Error.stackTraceLimit = framesMax
    this.name = 'AppError'
    this.code = code
    this.public = detail.public ?? ERRORS[code].title
    this.retryable = detail.retryable ?? false
    this.retryAfterS = detail.retryAfterS
    this.errors = detail.errors
  }

  get status(): number {
    return ERRORS[this.code].status
  }
}

/**
 * Of many things that were asked for together some were not done, for the reason that `cause` gives: those at
 * the positions `undone`. Who asks again asks for these.
 */
export class PartlyDone extends AppError {
  readonly undone: ReadonlySet<number>

  constructor(cause: unknown, undone: ReadonlySet<number>) {
    const {
      code,
      public: text,
      retryable,
      retryAfterS,
      message: internal,
    } = cause instanceof AppError ? cause : new AppError('internal', { internal: String(cause) })
    super(code, { public: text, internal, retryable, retryAfterS, cause })
    this.name = 'PartlyDone'
    this.undone = undone
  }
}

/** The positions of what was not done, or may not have been, of so many that were asked for together. */
export function undoneOf(error: unknown, count: number): ReadonlySet<number> {
  return error instanceof PartlyDone ? error.undone : new Set(Array(count).keys())
}

/** Whether it is a fault of ours that a line of the log is due. */
export function isWorthALine(error: unknown): boolean {
  return !(error instanceof AppError) || (error.status >= 500 && !COUNTED.has(error.code))
}

/** All that is known of a fault, with what caused it: for the log, never for a caller. */
export function inFull(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const cause = error.cause ? `; cause: ${inFull(error.cause)}` : ''
  return `${error.stack ?? error.message}${cause}`
}

/** RFC 9457 problem details of an error. Unknown faults come out opaque. */
export function problem(error: unknown, requestId: string): Problem {
  const known = error instanceof AppError ? error : new AppError('internal')
  return {
    type: `/docs/errors#${known.code}`,
    title: ERRORS[known.code].title,
    status: known.status,
    detail: known.public,
    code: known.code,
    request_id: requestId,
    ...(known.errors && { errors: known.errors }),
  }
}

export type Problem = {
  type: string
  title: string
  status: number
  detail: string
  code: ErrorCode
  request_id: string
  errors?: FieldError[]
}

/** The form of OpenAI's API. `param` names the field of the request, as its clients show it. */
export function openaiError({ status, detail, code, errors }: Problem) {
  const param = errors?.[0]?.pointer.replace(/^\//, '').replaceAll('/', '.') ?? null
  const type = OPENAI_TYPES[status] ?? (status < 500 ? 'invalid_request_error' : 'server_error')
  return { message: detail, type, param, code }
}

const OPENAI_TYPES: Record<number, string> = {
  401: 'authentication_error',
  403: 'permission_error',
  429: 'rate_limit_error',
}

/** The error that a problem document of another place describes, so that it can travel on. */
export function fromProblem(body: unknown, retryAfter: string | null = null): AppError {
  const given = body as Partial<Problem>
  const code = given.code && Object.hasOwn(ERRORS, given.code) ? given.code : 'internal'
  const retryAfterS = retryAfter === null ? undefined : Number(retryAfter)
  return new AppError(code, { public: given.detail, errors: given.errors, retryAfterS })
}
