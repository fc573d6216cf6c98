/**
 * From a definition to the plan that decisions follow: every name and type is checked here, so that a
 * request finds nothing wrong with it. Its hash is over all that changes an answer.
 */
import { AppError } from '#core/error.ts'
import { canonical, serviceScope } from '#core/features/compile.ts'
import { nameOf, parseExpression, type Scope } from '#core/features/expression.ts'
import { sha256Hex } from '#core/internal/signing.ts'
import type { EndpointDefinition } from '#schemas/contracts/decisions.ts'
import type { DecisionPlan, ModelInput, Rule } from '#schemas/decision.ts'
import type { EventType } from '#schemas/event.ts'
import type { ServicePlan } from '#schemas/feature.ts'
import type { Signature } from '#schemas/signature.ts'
import { misfit } from './scoring.ts'

/** What the definition names, as it is now; `signature`: of the model, where there is one. */
export type Parts = { event: EventType; service: ServicePlan; signature: Signature | null }
type ModelDefinition = NonNullable<EndpointDefinition['model']>

const SCORE = 'score'

/** Throws `invalid_definition` with a pointer to what is wrong. The version is the registry's to give. */
export async function compileEndpoint(
  endpoint: string,
  definition: EndpointDefinition,
  { event, service, signature }: Parts,
): Promise<DecisionPlan> {
  const { gate, otherwise } = definition
  checkEntities(gate, event, service)
  checkRequest(event, service)
  const scope = scopeOf(service, signature !== null)
  const model = signature && modelInput(definition.model!, scope, signature)
  const rules = rulesOf(definition.rules, scope)
  const content = { event, gate, model, rules, otherwise }
  const hash = await sha256Hex(canonical({ ...content, service: service.hash }))
  return { endpoint, version: 0, hash, ...content, service, scope }
}

/** What rules may name, with types: features, fields of the event, transforms, and the score. */
function scopeOf({ service, views, features, request, transforms }: ServicePlan, scored: boolean) {
  const scope = serviceScope(views, features, request)
  for (const { name, output } of transforms) scope[name] = output
  if (Object.hasOwn(scope, SCORE)) {
    throw wrongAt(
      '/service',
      `A transform of "${service}" is named score, as what the model answers is.`,
    )
  }
  if (scored) scope[SCORE] = { type: 'float' }
  return scope
}

function checkEntities(gate: string, { type, entities }: EventType, service: ServicePlan): void {
  const known = Object.keys(entities)
  const says = `events of ${type} tell about ${known.join(', ') || 'none'}`
  if (!known.includes(gate)) throw wrongAt('/gate', `There is no entity "${gate}": ${says}.`)
  for (const { entity, view } of service.views) {
    if (known.includes(entity)) continue
    throw wrongAt(
      '/service',
      `"${service.service}" reads ${view} of "${entity}", whose key is not in the event: ${says}.`,
    )
  }
}

/** What the service is given with a request are fields of the event. */
function checkRequest({ type, fields }: EventType, service: ServicePlan): void {
  for (const [name, wanted] of Object.entries(service.request)) {
    const field = Object.hasOwn(fields, name) ? fields[name]! : null
    if (field?.type === wanted.type && (field.scale ?? 0) === (wanted.scale ?? 0)) continue
    const has = field
      ? `it is ${nameOf({ type: field.type, scale: field.scale })}`
      : 'there is none'
    throw wrongAt(
      '/service',
      `"${service.service}" is given request.${name} as ${nameOf(wanted)}, and in ${type} ${has}.`,
    )
  }
}

function modelInput(definition: ModelDefinition, scope: Scope, signature: Signature): ModelInput {
  const { name, version, tensor, output, output_index: index } = definition
  // Features are listed as `view:feature`, and named `view.feature` in expressions.
  const features = definition.features.map(feature => feature.replace(':', '.'))
  for (const [i, feature] of features.entries()) checkFeature(i, feature, scope)
  const input = { model: name, tensor, features, output: { tensor: output, index } }
  const wrong = misfit(input, signature)
  if (wrong) throw wrongAt(`/model/${wrong.part}`, wrong.detail)
  return {
    ...input,
    version: version === undefined ? null : String(version),
    missing: missingOf(definition.missing ?? {}, features),
  }
}

function checkFeature(i: number, name: string, scope: Scope): void {
  const at = `/model/features/${i}`
  const type = name !== SCORE && Object.hasOwn(scope, name) ? scope[name] : undefined
  if (!type) {
    const known = Object.keys(scope).filter(each => each !== SCORE)
    throw wrongAt(at, `There is no "${name}"; there are ${known.join(', ')}.`)
  }
  if (['int', 'decimal', 'float', 'bool'].includes(type.type) && !type.list) return
  throw wrongAt(
    at,
    `A model is shown numbers, and "${name}" is ${nameOf(type)}: make a number of it by a transform.`,
  )
}

function missingOf(given: Record<string, number>, features: string[]): Record<string, number> {
  const entries = Object.entries(given).map(
    ([name, value]) => [name.replace(':', '.'), value] as const,
  )
  for (const [name] of entries) {
    if (features.includes(name)) continue
    throw wrongAt(`/model/missing/${name}`, `"${name}" is none of the model's features.`)
  }
  return Object.fromEntries(entries)
}

function rulesOf(rules: EndpointDefinition['rules'], scope: Scope): Rule[] {
  return rules.map(({ name, when, answer = null }, i) => {
    if (rules.findIndex(rule => rule.name === name) < i) {
      throw wrongAt(`/rules/${i}/name`, `Two rules are named "${name}".`)
    }
    checkCondition(`/rules/${i}/when`, when, scope)
    return { name, when, answer }
  })
}

function checkCondition(pointer: string, when: string, scope: Scope): void {
  try {
    const { of } = parseExpression(when, scope)
    if (of.type !== 'bool') throw wrongAt(pointer, `"${when}" is ${of.type} and no condition.`)
  } catch (error) {
    if (error instanceof AppError && !error.errors) throw wrongAt(pointer, error.public)
    throw error
  }
}

export function wrongAt(pointer: string, detail: string): AppError {
  return new AppError('invalid_definition', { public: detail, errors: [{ pointer, detail }] })
}
