/**
 * An endpoint made ready: from an event to the entities that are read, from what was read to the model's
 * row, from its answer to a decision. Pure; what is asked of others is asked by the route.
 */
import { compileNaming, type Named, type Naming } from '#core/decisions/named.ts'
import { compilePolicy, type Judged } from '#core/decisions/policy.ts'
import { compileScoring, type Scoring } from '#core/decisions/scoring.ts'
import type { EntityKey } from '#core/deps.ts'
import { AppError } from '#core/error.ts'
import { entityKeyOf } from '#core/events/contract.ts'
import { type Show, showAs } from '#core/features/explain/shown.ts'
import { compileReader, type Reader } from '#core/features/reader.ts'
import type { DecisionPlan } from '#schemas/decision.ts'
import type { Event } from '#schemas/event.ts'
import type { FeatureValue } from '#schemas/feature.ts'

export type Decider = {
  plan: DecisionPlan
  reader: Reader
  /** Entities of which the event tells no key are not read. Throws `invalid_event` where the gate's is missing. */
  keys(event: Event): { gate: EntityKey; others: EntityKey[] }
  /** Values in stored form by name: features, request fields, transforms. */
  named: Naming
  /** Null without a model. */
  scoring: Scoring | null
  judge(values: Named): Judged
  /** Values as callers see them. */
  shown(values: Named): Record<string, FeatureValue>
}

export function compileDecider(plan: DecisionPlan): Decider {
  const reader = compileReader(plan.service)
  const { entities } = plan.event
  const others = reader.entities.filter(entity => entity !== plan.gate)
  const shows = new Map<string, Show>(
    Object.entries(plan.scope).map(([name, type]) => [name, showAs(type)]),
  )
  return {
    plan,
    reader,
    keys(event) {
      const keyOf = (entity: string) => {
        const entityKey = entityKeyOf(entities[entity]!, event.data)
        return entityKey === null ? null : { entity, entityKey }
      }
      const gate = keyOf(plan.gate)
      if (!gate) throw gateless(plan)
      return { gate, others: others.flatMap(entity => keyOf(entity) ?? []) }
    },
    named: compileNaming(plan),
    scoring: plan.model && compileScoring(plan.model, plan.scope),
    judge: compilePolicy(plan),
    shown(values) {
      const shown: Record<string, FeatureValue> = {}
      for (const [name, value] of Object.entries(values)) {
        if (name !== 'score') shown[name] = shows.get(name)!(value)
      }
      return shown
    },
  }
}

function gateless({ endpoint, gate, event }: DecisionPlan): AppError {
  const fields = [event.entities[gate]!].flat().join(', ')
  const detail = `"${endpoint}" decides for each "${gate}" in turn, and its key (${fields}) is missing.`
  return new AppError('invalid_event', { public: detail, errors: [{ pointer: '/data', detail }] })
}
