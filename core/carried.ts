/**
 * Calls between places as gateways carry them: how large a body may be, and what an answer means that no
 * place of ours gave.
 */
import { AppError, fromProblem } from '#core/error.ts'
import type { ErrorCode } from '#schemas/errors.ts'

/**
 * Of the body of one call. Lambda takes 6 MB as JSON around it, where each quote and each backslash of the
 * body takes two bytes.
 */
export const CARRIED_BYTES_MAX = 2_621_440

/**
 * Of path, token and idempotency key of one call. API Gateway takes 10,240 bytes of request line and headers
 * in all; what a network adds on the way, and the headers that every call has, take their part.
 */
export const CARRIED_HEAD_BYTES_MAX = 9_000

/** What gateways, balancers and platforms answer by themselves when a place is full, away or too slow. */
const BETWEEN: Record<number, ErrorCode> = {
  413: 'payload_too_large',
  429: 'unavailable',
  431: 'payload_too_large',
  502: 'unavailable',
  503: 'unavailable',
  504: 'unavailable',
}
const RETRY_AFTER_S = 1

/** The error of a reply: its own, or what its status says where it is no problem document. */
export function faultOf(
  reply: { status: number; headers: { get(name: string): string | null } },
  body: unknown,
): AppError {
  const retryAfter = reply.headers.get('retry-after')
  const code = BETWEEN[reply.status]
  const isOurs = typeof (body as { code?: unknown } | null)?.code === 'string'
  if (isOurs || !code) return fromProblem(body ?? {}, retryAfter)
  const internal = `what stands between places answered ${reply.status}: ${JSON.stringify(body)}`
  if (code === 'payload_too_large') {
    return new AppError(code, {
      public: `The request is larger than can be carried on to the control API at once; send less than ${CARRIED_BYTES_MAX} bytes.`,
      internal,
    })
  }
  const retryAfterS = retryAfter === null ? RETRY_AFTER_S : Number(retryAfter)
  return new AppError(code, {
    public: 'The control API does not answer; try again in a moment.',
    internal,
    retryable: true,
    retryAfterS,
  })
}

/** Runs of items that can be carried at once, by the length of each as JSON; a larger one goes alone. */
export function inCarried<T>(items: readonly T[], json = (item: T) => JSON.stringify(item)): T[][] {
  const runs: T[][] = []
  let bytes = Number.POSITIVE_INFINITY
  for (const item of items) {
    // A character takes up to three bytes for each of its units.
    const more = json(item).length * 3 + 1
    if (bytes + more > CARRIED_BYTES_MAX) {
      runs.push([])
      bytes = 0
    }
    runs.at(-1)!.push(item)
    bytes += more
  }
  return runs
}
