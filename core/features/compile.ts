/**
 * From definitions to plans: everything is checked here, once, and what a plan says is what both compilers
 * of features follow. A plan's hash is over all that changes a value; nothing else is in it.
 */
import { AppError } from '#core/error.ts'
import { sha256Hex } from '#core/internal/signing.ts'
import type { ServiceDefinition, ViewDefinition } from '#schemas/contracts/features.ts'
import { type EventType, TABLE_PREFIX } from '#schemas/event.ts'
import type { ServicePlan, TransformPlan, ValueType, ViewPlan } from '#schemas/feature.ts'
import { canonical } from './canonical.ts'
import { DAY, microsOf } from './compile/duration.ts'
import { extentOf, featurePlan, typeOf, wrongAt } from './compile/feature.ts'
import { nameOf } from './expression/tree.ts'
import { filterSql, namesOf, parseExpression, type Scope } from './expression.ts'

/** Of a view in which no feature has an extent of its own. */
const LATENESS_DEFAULT = DAY
/** A row of a table may hold since long before it was imported: longer than any two times are apart. */
const LATENESS_OF_TABLES = 100_000 * DAY

export { canonical }

/** Throws `invalid_definition` with a pointer to what is wrong. The version is the registry's to give. */
export async function compileView(
  view: string,
  definition: ViewDefinition,
  eventType: EventType,
): Promise<ViewPlan> {
  const { entity, filter } = definition
  if (!Object.hasOwn(eventType.entities, entity)) {
    const known = Object.keys(eventType.entities).join(', ') || 'none'
    throw wrongAt(
      '/entity',
      `Events of ${eventType.type} tell nothing about "${entity}"; they tell about ${known}.`,
    )
  }
  const scope = scopeOf(eventType)
  const filtered = filter === undefined ? [] : checkFilter(filter, scope)
  const features = Object.entries(definition.features).map(([name, feature]) =>
    featurePlan(name, feature, eventType),
  )
  const extent = Math.max(0, ...features.map(({ span }) => extentOf(span)))
  const latenessMax = definition.allowed_lateness
    ? microsOf(definition.allowed_lateness)
    : eventType.type.startsWith(TABLE_PREFIX)
      ? LATENESS_OF_TABLES
      : extent || LATENESS_DEFAULT
  const kept = eventType.online_days * DAY
  if (extent > kept) {
    const detail = `The longest window is ${days(extent)} days, and events of ${eventType.type} are kept online for ${eventType.online_days}: declare the type with more online_days, or look back less.`
    throw wrongAt('/features', detail)
  }
  const plan = {
    view,
    entity,
    eventType: eventType.type,
    filter: filter ?? null,
    latenessMax,
    fields: Object.fromEntries(
      [...filtered, ...features.flatMap(({ of }) => of ?? [])]
        .sort()
        .map(field => [field, scope[field]!]),
    ),
    features,
  }
  return { ...plan, hash: await hashOf(plan), version: 0 }
}

/** `views`: those of the service, by name, with their versions. */
export async function compileService(
  service: string,
  definition: ServiceDefinition,
  views: ReadonlyMap<string, ViewPlan>,
): Promise<ServicePlan> {
  const named = [...new Set(definition.features.flatMap((text, i) => listed(text, i, views)))]
  const used = [...new Set(named.map(feature => feature.split(':')[0]!))]
  const request = Object.fromEntries(
    Object.entries(definition.request ?? {}).map(([name, { type, scale }]) => [
      name,
      type === 'decimal' ? { type, scale: scale ?? 0 } : { type },
    ]),
  ) as Record<string, ValueType>
  const plans = used.map(name => views.get(name)!)
  const scope = serviceScope(plans, named, request)
  const transforms = Object.entries(definition.transforms ?? {}).map(
    ([name, text]): TransformPlan => transformPlan(name, text, scope),
  )
  const content = {
    views: plans.map(({ hash }) => hash),
    features: named,
    request,
    transforms: transforms.map(({ name, expression }) => [name, expression]),
  }
  const hash = await hashOf(content)
  return { service, hash, version: 0, views: plans, features: named, request, transforms }
}

/** What transforms may use: `view.feature` of the features named, and `request.field`. */
export function serviceScope(
  views: readonly ViewPlan[],
  features: readonly string[],
  request: Record<string, ValueType>,
): Scope {
  const scope: Scope = {}
  for (const text of features) {
    const [view, name] = text.split(':') as [string, string]
    const plan = views.find(each => each.view === view)!
    scope[`${view}.${name}`] = plan.features.find(each => each.name === name)!.output
  }
  for (const [name, type] of Object.entries(request)) scope[`request.${name}`] = type
  return scope
}

/** Names and types of everything that a service gives, in the order of its values. */
export function outputsOf({
  views,
  features,
  transforms,
}: ServicePlan): { name: string; type: ValueType }[] {
  const scope = serviceScope(views, features, {})
  return [
    ...features.map(name => ({ name, type: scope[name.replace(':', '.')]! })),
    ...transforms.map(({ name, output }) => ({ name, type: output })),
  ]
}

function transformPlan(name: string, expression: string, scope: Scope): TransformPlan {
  const { of } = pointed(`/transforms/${name}`, () => parseExpression(expression, scope))
  if (of.type === 'null') throw wrongAt(`/transforms/${name}`, `"${expression}" is always null.`)
  return { name, expression, output: of as ValueType }
}

function listed(text: string, i: number, views: ReadonlyMap<string, ViewPlan>): string[] {
  const [view, feature] = text.split(':') as [string, string]
  const plan = views.get(view)
  if (!plan) throw wrongAt(`/features/${i}`, `There is no view "${view}"; apply it first.`)
  const names = plan.features.map(({ name }) => name)
  if (feature !== '*' && !names.includes(feature)) {
    throw wrongAt(
      `/features/${i}`,
      `The view "${view}" has no feature "${feature}"; it has ${names.join(', ')}.`,
    )
  }
  return (feature === '*' ? names : [feature]).map(name => `${view}:${name}`)
}

/** The fields that it names. */
function checkFilter(filter: string, scope: Scope): string[] {
  return pointed('/filter', () => {
    const tree = parseExpression(filter, scope)
    if (tree.of.type !== 'bool') {
      throw wrongAt('/filter', `A filter is a condition, and "${filter}" is ${nameOf(tree.of)}.`)
    }
    filterSql(tree, filter, field => field)
    return namesOf(tree)
  })
}

function scopeOf(eventType: EventType): Scope {
  return Object.fromEntries(
    Object.entries(eventType.fields).map(([name, field]) => [name, typeOf(field)]),
  )
}

function pointed<T>(pointer: string, work: () => T): T {
  try {
    return work()
  } catch (error) {
    if (error instanceof AppError && !error.errors) throw wrongAt(pointer, error.public)
    throw error
  }
}

function days(micros: number): number {
  return Math.ceil(micros / DAY)
}

function hashOf(content: unknown): Promise<string> {
  return sha256Hex(canonical(content))
}
