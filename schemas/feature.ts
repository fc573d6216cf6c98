/**
 * Features as definitions (what a builder writes), as plans (what is compiled from them once) and as
 * values (what a read gives). Times and lengths of time are in microseconds.
 */
import type { FieldType, Value } from '#schemas/event.ts'

export const AGGREGATES = [
  'count',
  'sum',
  'avg',
  'min',
  'max',
  'var',
  'last',
  'first',
  'last_k',
  'distinct',
] as const
export type Aggregate = (typeof AGGREGATES)[number]

/**
 * The span of event times that a feature looks at, for a read at t. Each is half open: an event at t
 * itself is never seen, for it may be the one that is asked about.
 */
export type Span =
  /** [t - length, t) */
  | { kind: 'sliding'; length: number }
  /** [floor((t - length) / hop) × hop, t): cheaper to keep, and up to a hop longer. */
  | { kind: 'sawtooth'; length: number; hop: number }
  /** Everything before t, not older than the ttl if there is one: [t - ttl, t). For `last` alone. */
  | { kind: 'latest'; ttl: number | null }

/** A declared type of a value: of a field, or of a feature. `list` is of last_k. */
export type ValueType = { type: FieldType; scale?: number; list?: true }

/** One feature, compiled: everything that changes its value stands here, and its view's hash is over it. */
export type FeaturePlan = {
  name: string
  aggregate: Aggregate
  /** The field; null for count. */
  of: string | null
  /** The type of that field; null for count. */
  ofType: ValueType | null
  span: Span
  /** Of last_k. */
  k?: number
  /** What finalising gives: int for count and distinct, float for avg and var, the field's own otherwise. */
  output: ValueType
}

export type ViewPlan = {
  view: string
  /** SHA-256 over the plan in canonical form, without this and the version. */
  hash: string
  version: number
  entity: string
  eventType: string
  /** An expression over the event's fields; events for which it is not true are not seen. */
  filter: string | null
  /** Types of the fields that the filter and the features use. */
  fields: Record<string, ValueType>
  /** An event counts only if known_at - event_time is not more than this. */
  latenessMax: number
  features: FeaturePlan[]
}

/** A transform at request time: an expression over features and request fields, the same offline. */
export type TransformPlan = { name: string; expression: string; output: ValueType }

/** What a feature service reads, in the order of its values. */
export type ServicePlan = {
  service: string
  /** SHA-256 over views' hashes, the features that are named, request fields and transforms. */
  hash: string
  version: number
  views: ViewPlan[]
  /** Features in order: `view:feature`. Each stands in `views`. */
  features: string[]
  /** Fields that come with the request. */
  request: Record<string, ValueType>
  transforms: TransformPlan[]
}

export const STATUSES = ['PRESENT', 'NULL_VALUE', 'NOT_FOUND', 'OUTSIDE_MAX_AGE'] as const
export type Status = (typeof STATUSES)[number]

export type FeatureValue = Value | Value[]

/** Values of one view for one entity, in the order of the view's features, as one reader saw them. */
export type ViewValues = {
  values: FeatureValue[]
  statuses: Status[]
  /** Of the newest event in the span, for `latest` spans; null otherwise. */
  eventTimes: (number | null)[]
}

/** An event of an entity as a part of a view's values, or why it is none. Times in microseconds. */
export type ExplainedEvent = {
  eventTime: number
  knownAt: number
  seq: number
  retractedAt: number | null
  data: Record<string, Value>
  /** Of which features it is a part. */
  features: string[]
  /** Why it is part of none, although it is in a span. */
  leftOut: 'not_known_yet' | 'late' | 'retracted' | 'filtered' | 'older' | null
}
