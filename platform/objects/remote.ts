/** The client's half of objects over HTTP: each call signed, each error the object's own. */
import type { Clock, Objects, RateLease } from '#core/deps.ts'
import { AppError, fromProblem } from '#core/error.ts'
import { type Signer, sha256Hex, TOKEN_HEADER } from '#core/internal/signing.ts'

/** Who waits longer for a token is better served without: the edge then spends by itself. */
const PATIENCE_MS = 2_000

/** Objects at an origin such as `http://127.0.0.1:4503`. Calls throw `unavailable` when nobody answers. */
export function remoteObjects(o: {
  fetch(request: Request): Promise<Response>
  origin: string
  signer: Signer
  clock: Clock
}): Objects {
  async function call<T>(path: string, input: unknown): Promise<T> {
    const body = new TextEncoder().encode(JSON.stringify(input))
    const claims = { call: null, method: 'POST', path, body: await sha256Hex(body) }
    const token = await o.signer.sign(claims, o.clock.now())
    const request = new Request(o.origin + path, {
      method: 'POST',
      headers: { [TOKEN_HEADER]: token, 'content-type': 'application/json' },
      body,
      signal: AbortSignal.timeout(PATIENCE_MS),
    })
    const response = await o.fetch(request).catch(cause => {
      throw new AppError('unavailable', {
        internal: `objects at ${o.origin}: ${String(cause)}`,
        retryable: true,
        cause,
      })
    })
    const answer = await response.json()
    if (!response.ok) throw fromProblem(answer)
    return answer as T
  }
  return {
    tenant: tenantId => ({
      leaseRate: input => call<RateLease>(`/objects/tenant/${tenantId}/leaseRate`, input),
    }),
  }
}
