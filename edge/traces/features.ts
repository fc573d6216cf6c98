/** Calls of feature objects as spans of the request that makes them; of others the objects themselves. */
import type { Call } from '#core/caller.ts'
import type { FeatureObject, FeatureObjects } from '#core/deps.ts'
import { AppError } from '#core/error.ts'
import type { TraceContext, Tracer } from '#core/trace.ts'
import type { EdgeDeps } from '../deps.ts'

export function featuresFor(
  { features, tracer }: Pick<EdgeDeps, 'features' | 'tracer'>,
  { trace }: Pick<Call, 'trace'>,
): FeatureObjects {
  return trace && tracer ? tracedFeatures(features, tracer, trace) : features
}

function tracedFeatures(
  features: FeatureObjects,
  tracer: Tracer,
  trace: TraceContext,
): FeatureObjects {
  async function timed<T>(name: string, group: number, work: () => Promise<T>): Promise<T> {
    const span = tracer.child(trace)
    const is = { name, kind: 'client' as const, attributes: { 'galley.object.group': group } }
    try {
      const value = await work()
      tracer.end(span, is)
      return value
    } catch (error) {
      tracer.end(span, { ...is, fault: error instanceof AppError ? error.code : 'internal' })
      throw error
    }
  }
  return {
    ...features,
    group(tenantId, group) {
      const object = features.group(tenantId, group)
      return {
        ...object,
        read: input => timed('features.read', group, () => object.read(input)),
        decide: input => timed('features.decide', group, () => object.decide(input)),
      } satisfies FeatureObject
    },
  }
}
