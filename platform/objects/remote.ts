/** The client's half of objects over HTTP: each call signed, each error the object's own. */
import type {
  Clock,
  Decided,
  EntityRead,
  FeatureObjects,
  Objects,
  PlanRef,
  RateLease,
} from '#core/deps.ts'
import { AppError, fromProblem } from '#core/error.ts'
import { type Signer, sha256Hex, TOKEN_HEADER } from '#core/internal/signing.ts'
import type { Position } from '#schemas/event.ts'

/** Who waits longer for a token is better served without: the edge then spends by itself. */
const PATIENCE_MS = 2_000

type Remote = {
  fetch(request: Request): Promise<Response>
  /** Such as `http://127.0.0.1:4503`. */
  origin: string
  signer: Signer
  clock: Clock
}

/** Calls throw `unavailable` when nobody answers. */
export function remoteObjects(remote: Remote): Objects {
  return {
    tenant: tenantId => ({
      leaseRate: input => call<RateLease>(remote, `/objects/tenant/${tenantId}/leaseRate`, input),
    }),
  }
}

export function remoteFeatures(remote: Remote, partitionsPerObject: number): FeatureObjects {
  return {
    partitionsPerObject,
    group(tenantId, group) {
      const path = `/objects/features/${tenantId}-${group}`
      return {
        apply: input => call<{ positions: Position[] }>(remote, `${path}/apply`, input),
        read: input => callByPlan<{ reads: EntityRead[] }>(remote, `${path}/read`, input),
        decide: input => callByPlan<Decided>(remote, `${path}/decide`, input),
      }
    },
  }
}

/** By the plan's hash alone, and once more with the plan where the object asks for it. */
async function callByPlan<T>(remote: Remote, path: string, input: PlanRef): Promise<T> {
  const { plan, ...bare } = input
  try {
    return await call<T>(remote, path, bare)
  } catch (error) {
    const isWanted = error instanceof AppError && error.code === 'plan_wanted'
    if (!isWanted || !plan) throw error
    return call<T>(remote, path, input)
  }
}

async function call<T>(remote: Remote, path: string, input: unknown): Promise<T> {
  const body = new TextEncoder().encode(JSON.stringify(input))
  const claims = { call: null, method: 'POST', path, body: await sha256Hex(body) }
  const token = await remote.signer.sign(claims, remote.clock.now())
  const request = new Request(remote.origin + path, {
    method: 'POST',
    headers: { [TOKEN_HEADER]: token, 'content-type': 'application/json' },
    body,
    signal: AbortSignal.timeout(PATIENCE_MS),
  })
  const response = await remote.fetch(request).catch(cause => {
    throw new AppError('unavailable', {
      internal: `objects at ${remote.origin}: ${String(cause)}`,
      retryable: true,
      cause,
    })
  })
  const answer = await response.json()
  if (!response.ok) throw fromProblem(answer)
  return answer as T
}
