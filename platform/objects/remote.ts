/** The client's half of objects: what calls there are, over whatever carries them. */
import type {
  AppliedAt,
  Decided,
  EntityRead,
  Explained,
  FeatureObjects,
  Objects,
  PlanRef,
  RateLease,
} from '#core/deps.ts'
import { type Answer, valueIn } from '#core/features/partition-object.ts'
import type { Position } from '#schemas/event.ts'

export type Applied = { positions: Position[] }

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

export type ApplyMany = FeatureObjects['applyAt']

/** What an object answered to `apply`, as one outcome of several. */
export function appliedOf(answer: Answer<Applied>): AppliedAt {
  try {
    return valueIn(answer)
  } catch (error) {
    return { error }
  }
}

/** `applyAt` where a call of an object costs no connection of its own: one call each. */
function byOneCallEach(call: CallObject): ApplyMany {
  return (tenantId, calls) =>
    Promise.all(
      calls.map(({ group, input }) =>
        call<Answer<Applied>>('features', `${tenantId}-${group}`, 'apply', input).then(
          appliedOf,
          error => ({ error }),
        ),
      ),
    )
}

export function remoteFeatures(
  call: CallObject,
  partitionsPerObject: number,
  applyAt: ApplyMany = byOneCallEach(call),
): FeatureObjects {
  return {
    partitionsPerObject,
    applyAt,
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
