/**
 * A service made ready for reading: where each value comes from, and how transforms follow from them.
 * Made once per version, so that a read only moves values.
 */
import type { EntityRead } from '#core/deps.ts'
import { AppError } from '#core/error.ts'
import { storedValue } from '#core/events/contract.ts'
import type { Value } from '#schemas/event.ts'
import type { FeatureValue, ServicePlan, Status, ValueType } from '#schemas/feature.ts'
import { outputsOf, serviceScope } from './compile.ts'
import { evaluator, parseExpression, type Run } from './expression.ts'

/** Values of one row, in stored form: features in the order of the plan, then transforms. */
export type RowValues = {
  values: FeatureValue[]
  statuses: Status[]
  eventTimes: (number | null)[]
}

export type Reader = {
  plan: ServicePlan
  /** Entities whose keys a row must name. */
  entities: string[]
  outputs: { name: string; type: ValueType }[]
  /** From what was read of each entity, and the request's fields in stored form. */
  row(reads: ReadonlyMap<string, EntityRead>, request: Record<string, Value>): RowValues
  /** The request's fields in stored form. Throws `invalid_body` at the pointer. */
  request(given: unknown, pointer: string): Record<string, Value>
}

type Source = { entity: string; view: number; feature: number }
/** Values of features in the order of the plan, and of the request's fields, in stored form. */
export type Cells = { values: FeatureValue[]; request: Record<string, Value> }

export function compileReader(plan: ServicePlan): Reader {
  const entities = [...new Set(plan.views.map(({ entity }) => entity))]
  const sources = plan.features.map(name => sourceOf(plan, name))
  const transforms = compileTransforms(plan)
  return {
    plan,
    entities,
    outputs: outputsOf(plan),
    row(reads, request) {
      const found: RowValues = { values: [], statuses: [], eventTimes: [] }
      for (const { entity, view, feature } of sources) {
        const read = reads.get(entity)!.views[view]!
        found.values.push(read.values[feature]!)
        found.statuses.push(read.statuses[feature]!)
        found.eventTimes.push(read.eventTimes[feature]!)
      }
      const cells = { values: found.values, request }
      for (const transform of transforms) {
        const value = transform(cells)
        found.values.push(value)
        found.statuses.push(value === null ? 'NULL_VALUE' : 'PRESENT')
        found.eventTimes.push(null)
      }
      return found
    },
    request: (given, pointer) => requestOf(plan.request, given, pointer),
  }
}

/** Each transform as a function of a row. */
export function compileTransforms(plan: ServicePlan): Run<Cells>[] {
  return plan.transforms.map(({ expression }) => transformOf(plan, expression))
}

function sourceOf({ views }: ServicePlan, name: string): Source {
  const [viewName, featureName] = name.split(':') as [string, string]
  const plan = views.find(({ view }) => view === viewName)!
  const ofEntity = views.filter(({ entity }) => entity === plan.entity)
  return {
    entity: plan.entity,
    view: ofEntity.indexOf(plan),
    feature: plan.features.findIndex(({ name }) => name === featureName),
  }
}

function transformOf(plan: ServicePlan, expression: string): Run<Cells> {
  const scope = serviceScope(plan.views, plan.features, plan.request)
  return evaluator<Cells>(parseExpression(expression, scope), name => {
    if (name.startsWith('request.')) {
      const field = name.slice('request.'.length)
      return ({ request }) => request[field] ?? null
    }
    const at = plan.features.indexOf(name.replace('.', ':'))
    // Lists are in no expression; digits beyond a safe integer are as good as unknown to arithmetic.
    return ({ values }) => {
      const value = values[at] as Value
      return typeof value === 'string' && scope[name]!.type !== 'string' ? null : value
    }
  })
}

function requestOf(
  fields: Record<string, ValueType>,
  given: unknown,
  pointer: string,
): Record<string, Value> {
  const row = (given ?? {}) as Record<string, unknown>
  const found: Record<string, Value> = {}
  for (const [name, type] of Object.entries(fields)) {
    const value = row[name]
    if (value === undefined || value === null) {
      found[name] = null
      continue
    }
    const stored = storedValue({ type: type.type, scale: type.scale }, value)
    if (typeof stored === 'object') throw invalidAt(`${pointer}/${name}`, stored.detail)
    found[name] = stored
  }
  for (const name of Object.keys(row)) {
    if (Object.hasOwn(fields, name)) continue
    const known = Object.keys(fields).join(', ') || 'none'
    throw invalidAt(
      `${pointer}/${name}`,
      `The service takes no request field "${name}"; it takes ${known}.`,
    )
  }
  return found
}

export function invalidAt(pointer: string, detail: string): AppError {
  return new AppError('invalid_body', {
    public: `${pointer}: ${detail}`,
    errors: [{ pointer, detail }],
  })
}
