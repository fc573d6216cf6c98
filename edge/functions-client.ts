/** Asking the functions: internal questions of the edge itself, and requests carried on for a caller. */
import type { Call } from '#core/caller.ts'
import { CARRIED_HEAD_BYTES_MAX, faultOf } from '#core/carried.ts'
import { AppError } from '#core/error.ts'
import { sha256Hex, TOKEN_HEADER } from '#core/internal/signing.ts'
import type { EdgeDeps } from './deps.ts'

/** The host is never resolved: the binding decides where it goes. */
const ORIGIN = 'http://functions'
const PROBLEM = 'application/problem+json'

/** A question of the edge's own: longer than any takes that is answered at all. */
const ASK_MS_MAX = 10_000
/** A caller's request: longer than any gateway waits for the function behind it. */
const CARRY_MS_MAX = 65_000

type Needs = Pick<EdgeDeps, 'functions' | 'signer' | 'clock'>

/** An internal question; its answer, or the functions' own error. */
export async function ask<T>(deps: Needs, path: string, input: unknown): Promise<T> {
  const body = new TextEncoder().encode(JSON.stringify(input))
  const response = await send(deps, { call: null, method: 'POST', path, body })
  if (!response.ok) throw faultOf(response, await response.json().catch(() => ({})))
  return (await response.json()) as T
}

/**
 * Carries a caller's request on, signed. Throws `unavailable` when the functions cannot be reached, and what
 * a reply means that is not theirs.
 */
export async function send(
  deps: Needs,
  request: {
    call: Call | null
    method: string
    path: string
    body: Uint8Array | null
    seal?: string
    idempotencyKey?: string
  },
): Promise<Response> {
  const { call, method, path, seal } = request
  const body = await sha256Hex(request.body ?? new Uint8Array())
  const token = await deps.signer.sign({ call, method, path, body, seal }, deps.clock.now())
  mustBeShort(path, token.length + path.length + (request.idempotencyKey?.length ?? 0))
  const headers = new Headers({ [TOKEN_HEADER]: token, 'content-type': 'application/json' })
  if (request.idempotencyKey !== undefined) headers.set('idempotency-key', request.idempotencyKey)
  const reply = await deps.functions
    .fetch(
      new Request(ORIGIN + path, {
        method,
        headers,
        body: request.body as Uint8Array<ArrayBuffer>,
        signal: AbortSignal.timeout(call ? CARRY_MS_MAX : ASK_MS_MAX),
      }),
    )
    .catch(cause => {
      throw new AppError('unavailable', {
        public: 'The control API does not answer; try again in a moment.',
        internal: `functions: ${String(cause)}`,
        retryable: true,
        retryAfterS: 1,
        cause,
      })
    })
  const isOurs = reply.ok || reply.headers.get('content-type')?.startsWith(PROBLEM)
  if (isOurs) return reply
  throw faultOf(reply, await reply.json().catch(() => ({})))
}

/** The path travels twice, as it is and in the token, beside what is known of the caller's key. */
function mustBeShort(path: string, bytes: number): void {
  if (bytes <= CARRIED_HEAD_BYTES_MAX) return
  throw new AppError('invalid_request', {
    public: `The path with its query has ${path.length} characters. It takes ${bytes} bytes on its way to the control API, with what is known of the key, and can take ${CARRIED_HEAD_BYTES_MAX}: send a shorter one.`,
  })
}
