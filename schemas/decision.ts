/**
 * Decisions: an event is judged by its features, a model and a policy, and applied, in one call. All of
 * what a decision was made by is kept, so that it can be made again bit for bit.
 */
import type { Event, EventType, Position } from '#schemas/event.ts'
import type { FeatureValue, ServicePlan, ValueType, ViewValues } from '#schemas/feature.ts'

/** Rules in order; the first whose condition holds decides, unless it only adds a reason. */
export type Rule = {
  name: string
  /** An expression over features, request fields, transforms and `score`. */
  when: string
  /** What is answered, such as `decline`; null: the rule only gives its reason. */
  answer: string | null
}

/** How the values of a service become the model's input: one row of FP32 in this order. */
export type ModelInput = {
  model: string
  /** A number or an alias; null: what serves now. */
  version: string | null
  /** The tensor that takes the row, [1, features]. */
  tensor: string
  /** Names of features, transforms or request fields, in the order of the row. */
  features: string[]
  /** Taken for a value that is missing, by name; 0 where none is given. */
  missing: Record<string, number>
  /** The tensor that gives the score, and which of its elements. */
  output: { tensor: string; index: number }
}

export type DecisionPlan = {
  endpoint: string
  version: number
  hash: string
  /** The contract of its events. */
  event: EventType
  /** The entity whose object orders the decisions. */
  gate: string
  service: ServicePlan
  /** Null: rules alone decide, and `score` is not there. */
  model: ModelInput | null
  rules: Rule[]
  /** What is answered when no rule decides. */
  otherwise: string
  /** Names with their types: everything that rules may use. */
  scope: Record<string, ValueType>
}

/** What judges an event: kept with the snapshot, so that a retry is judged by the same. */
export type Judge = {
  name: string
  version: number
  /** The number that the model's alias meant; null where there is no model. */
  modelVersion?: number | null
}

/** What an object kept of a decision: the reads that it was made by, and where the event stands since. */
export type Snapshot = {
  endpoint: Judge
  event: Event
  planHash: string
  position: Position
  reads: {
    entity: string
    entityKey: string
    partition: number
    seq: number
    at: number
    views: ViewValues[]
  }[]
}

export type Reason = { rule: string; answer: string | null }
export type Outcome = {
  answer: string
  score: number | null
  reasons: Reason[]
  /** Values by name, in units, as the model and the rules saw them. */
  features: Record<string, FeatureValue>
  model: { name: string; version: number; digest: string; receipt: string } | null
}
