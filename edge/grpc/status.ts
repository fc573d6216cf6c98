/** Faults as gRPC tells them: the code that its clients branch on, from the HTTP status of the catalogue. */
import { AppError } from '#core/error.ts'

/** The codes of gRPC that Galley answers with. */
export const STATUS = {
  OK: 0,
  CANCELLED: 1,
  INVALID_ARGUMENT: 3,
  DEADLINE_EXCEEDED: 4,
  NOT_FOUND: 5,
  PERMISSION_DENIED: 7,
  RESOURCE_EXHAUSTED: 8,
  FAILED_PRECONDITION: 9,
  UNIMPLEMENTED: 12,
  INTERNAL: 13,
  UNAVAILABLE: 14,
  UNAUTHENTICATED: 16,
} as const

const BY_HTTP_STATUS: Record<number, number> = {
  401: STATUS.UNAUTHENTICATED,
  403: STATUS.PERMISSION_DENIED,
  404: STATUS.NOT_FOUND,
  409: STATUS.FAILED_PRECONDITION,
  413: STATUS.RESOURCE_EXHAUSTED,
  425: STATUS.FAILED_PRECONDITION,
  429: STATUS.RESOURCE_EXHAUSTED,
  499: STATUS.CANCELLED,
  501: STATUS.UNIMPLEMENTED,
  503: STATUS.UNAVAILABLE,
  504: STATUS.DEADLINE_EXCEEDED,
  507: STATUS.RESOURCE_EXHAUSTED,
}

/** It travels in a header, percent-encoded; clients take 8 KiB of those in all. */
const DETAILS_CHARS_MAX = 1_500

export type Fault = {
  code: number
  details: string
  /** Trailing metadata: our own code, and when to come back where that is known. */
  trailers: Record<string, string>
}

/** As traces name it. */
export function codeName(code: number): string {
  return Object.entries(STATUS).find(([, number]) => number === code)?.[0] ?? String(code)
}

/** Unknown faults come out opaque. */
export function faultOf(error: unknown): Fault {
  const known = error instanceof AppError ? error : new AppError('internal')
  const { status } = known
  const code = BY_HTTP_STATUS[status] ?? (status < 500 ? STATUS.INVALID_ARGUMENT : STATUS.INTERNAL)
  const trailers: Record<string, string> = { 'galley-code': known.code }
  if (known.retryAfterS !== undefined) {
    trailers['retry-after'] = String(known.retryAfterS)
    // gRPC's own word for it, which its retry policy obeys.
    if (code === STATUS.UNAVAILABLE) {
      trailers['grpc-retry-pushback-ms'] = String(known.retryAfterS * 1_000)
    }
  }
  return { code, details: known.public.slice(0, DETAILS_CHARS_MAX), trailers }
}
