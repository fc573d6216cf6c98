/** One feature of a view, from its definition to its plan. */
import { AppError } from '#core/error.ts'
import type { ViewDefinition } from '#schemas/contracts/features.ts'
import type { EventType, Field } from '#schemas/event.ts'
import type { FeaturePlan, Span, ValueType } from '#schemas/feature.ts'
import { nameOf } from '../expression/tree.ts'
import { microsOf } from './duration.ts'

const TILES_MAX = 100_000

type FeatureDefinition = ViewDefinition['features'][string]

export function featurePlan(
  name: string,
  definition: FeatureDefinition,
  eventType: EventType,
): FeaturePlan {
  const at = `/features/${name}`
  const { agg: aggregate, of, k } = definition
  if (aggregate === 'count' && of !== undefined) {
    throw wrongAt(
      `${at}/of`,
      'count counts events and takes no field; filter them in the view, or use distinct.',
    )
  }
  if (aggregate !== 'count' && of === undefined)
    throw wrongAt(`${at}/of`, `${aggregate} needs the field that it is of.`)
  if ((aggregate === 'last_k') !== (k !== undefined)) {
    throw wrongAt(
      `${at}/k`,
      aggregate === 'last_k' ? 'last_k needs k.' : `k is of last_k, not of ${aggregate}.`,
    )
  }
  const ofType = of === undefined ? null : fieldType(`${at}/of`, of, eventType)
  if (ofType) checkAggregate(at, aggregate, ofType)
  const span = spanOf(at, definition)
  return {
    name,
    aggregate,
    of: of ?? null,
    ofType,
    span,
    ...(k !== undefined && { k }),
    output: outputOf(aggregate, ofType),
  }
}

function fieldType(pointer: string, name: string, { type, fields }: EventType): ValueType {
  const field = Object.hasOwn(fields, name) ? fields[name] : undefined
  if (field) return typeOf(field)
  throw wrongAt(
    pointer,
    `Events of ${type} have no field "${name}"; they have ${Object.keys(fields).join(', ')}.`,
  )
}

function checkAggregate(at: string, aggregate: string, of: ValueType): void {
  const isNumber = of.type === 'int' || of.type === 'decimal' || of.type === 'float'
  if (['sum', 'avg', 'var'].includes(aggregate) && !isNumber) {
    throw wrongAt(`${at}/agg`, `${aggregate} is of numbers, and the field is ${nameOf(of)}.`)
  }
  if (aggregate === 'var' && of.type === 'float') {
    throw wrongAt(
      `${at}/agg`,
      'var is exact, so it is of int and decimal fields; declare the field as decimal.',
    )
  }
  if (['min', 'max'].includes(aggregate) && of.type === 'bool') {
    throw wrongAt(`${at}/agg`, `${aggregate} is of what has an order; count with a filter instead.`)
  }
}

function spanOf(at: string, { agg, window, hop, ttl }: FeatureDefinition): Span {
  if (window === undefined) {
    if (agg !== 'last') throw wrongAt(`${at}/window`, `${agg} needs a window, such as "1h".`)
    if (hop !== undefined) throw wrongAt(`${at}/hop`, 'hop is of a window, and there is none.')
    return { kind: 'latest', ttl: ttl === undefined ? null : microsOf(ttl) }
  }
  if (ttl !== undefined)
    throw wrongAt(`${at}/ttl`, 'ttl is of last without a window; here the window says it.')
  const length = microsOf(window)
  if (hop === undefined) return { kind: 'sliding', length }
  const micros = microsOf(hop)
  if (micros > length || length / micros > TILES_MAX) {
    throw wrongAt(`${at}/hop`, `hop is at most the window, and at least a ${TILES_MAX}th of it.`)
  }
  return { kind: 'sawtooth', length, hop: micros }
}

function outputOf(aggregate: FeaturePlan['aggregate'], of: ValueType | null): ValueType {
  if (aggregate === 'count' || aggregate === 'distinct') return { type: 'int' }
  if (aggregate === 'avg' || aggregate === 'var') return { type: 'float' }
  return aggregate === 'last_k' ? { ...of!, list: true } : of!
}

/** How far back an event may lie that a feature sees; 0: any distance. */
export function extentOf(span: Span): number {
  if (span.kind === 'latest') return span.ttl ?? 0
  return span.kind === 'sliding' ? span.length : span.length + span.hop
}

export function typeOf({ type, scale }: Field): ValueType {
  return type === 'decimal' ? { type, scale: scale ?? 0 } : { type }
}

export function wrongAt(pointer: string, detail: string): AppError {
  return new AppError('invalid_definition', { public: detail, errors: [{ pointer, detail }] })
}
