/** The client's half of objects: what calls there are, and calls over HTTP, each signed. */
import type {
  Clock,
  Decided,
  EntityRead,
  Explained,
  FeatureObjects,
  Objects,
  PlanRef,
  RateLease,
} from '#core/deps.ts'
import { AppError, fromProblem } from '#core/error.ts'
import { type Answer, valueIn } from '#core/features/partition-object.ts'
import { type Signer, sha256Hex, TOKEN_HEADER } from '#core/internal/signing.ts'
import type { Position } from '#schemas/event.ts'

type Applied = { positions: Position[] }

/** Who waits longer for a token is better served without: the edge then spends by itself. */
const PATIENCE_MS = 2_000

/** One call of one object; throws the object's own error, or `unavailable`. */
export type CallObject = <T>(
  className: string,
  name: string,
  method: string,
  input: unknown,
) => Promise<T>

export function remoteObjects(call: CallObject): Objects {
  return {
    tenant: tenantId => ({
      leaseRate: input => call<RateLease>('tenant', tenantId, 'leaseRate', input),
    }),
  }
}

export function remoteFeatures(call: CallObject, partitionsPerObject: number): FeatureObjects {
  return {
    partitionsPerObject,
    group(tenantId, group) {
      const name = `${tenantId}-${group}`
      return {
        apply: async input =>
          valueIn(await call<Answer<Applied>>('features', name, 'apply', input)),
        read: input => callByPlan<{ reads: EntityRead[] }>(call, name, 'read', input),
        decide: input => callByPlan<Decided>(call, name, 'decide', input),
        explain: async input =>
          valueIn(await call<Answer<Explained>>('features', name, 'explain', input)),
        erase: async input =>
          valueIn(await call<Answer<{ erased: number }>>('features', name, 'erase', input)),
      }
    },
  }
}

/** By the plan's hash alone, and once more with the plan where the object asks for it. */
async function callByPlan<T>(
  call: CallObject,
  name: string,
  method: string,
  input: PlanRef,
): Promise<T> {
  const { plan, ...bare } = input
  const first = await call<Answer<T>>('features', name, method, bare)
  const isWanted = 'refused' in first && first.refused.code === 'plan_wanted'
  if (!isWanted || !plan) return valueIn(first)
  return valueIn(await call<Answer<T>>('features', name, method, input))
}

/** Calls at an origin such as `http://127.0.0.1:4503`. */
export function httpObjects(o: {
  fetch(request: Request): Promise<Response>
  origin: string
  signer: Signer
  clock: Clock
}): CallObject {
  return async <T>(className: string, name: string, method: string, input: unknown) => {
    const path = `/objects/${className}/${name}/${method}`
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
}
