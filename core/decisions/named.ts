/** From what was read of an event's entities to the values that it is judged by, under their names. */
import type { EntityRead } from '#core/deps.ts'
import { accumulator, finalize } from '#core/features/finalize.ts'
import { compileReader } from '#core/features/reader.ts'
import type { DecisionPlan } from '#schemas/decision.ts'
import type { Event, Value } from '#schemas/event.ts'
import type { FeatureValue, ServicePlan, ViewValues } from '#schemas/feature.ts'

/** Values in stored form by name: `view.feature`, `request.field`, transforms, `score`. */
export type Named = Record<string, FeatureValue>
export type Naming = (reads: readonly EntityRead[], data: Event['data']) => Named

/** An entity that was not read, because the event tells no key of it, has no events. */
export function compileNaming({ service }: Pick<DecisionPlan, 'service'>): Naming {
  const reader = compileReader(service)
  const names = [
    ...service.features.map(name => name.replace(':', '.')),
    ...service.transforms.map(({ name }) => name),
  ]
  const requested = Object.keys(service.request)
  const absent = reader.entities.map(entity => [entity, nothingOf(service, entity)] as const)
  return (reads, data) => {
    const byEntity = new Map(absent)
    for (const read of reads) byEntity.set(read.entity, read)
    const request: Record<string, Value> = {}
    for (const name of requested) request[name] = data[name] ?? null
    const { values } = reader.row(byEntity, request)
    const named: Named = {}
    for (let i = 0; i < names.length; i++) named[names[i]!] = values[i]!
    for (const name of requested) named[`request.${name}`] = request[name]!
    return named
  }
}

function nothingOf({ views }: ServicePlan, entity: string): EntityRead {
  const empty = views
    .filter(view => view.entity === entity)
    .map(({ features }): ViewValues => {
      const nothing = features.map(feature => finalize(feature, accumulator(feature).ir()))
      return {
        values: nothing.map(({ value }) => value),
        statuses: nothing.map(({ status }) => status),
        eventTimes: nothing.map(() => null),
      }
    })
  return { entity, entityKey: '', partition: -1, seq: 0, at: 0, views: empty }
}
