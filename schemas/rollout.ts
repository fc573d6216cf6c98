/** What a rollout is told and what it sees, as it travels between edge, functions and the database. */
import type { RolloutId } from './ids.ts'

/** Values differ when they are further apart than `absolute + relative · |stable|`. */
export type Tolerance = { absolute: number; relative: number }

/** A candidate that breaks one of these is rolled back; null: it is not looked at. */
export type Guard = {
  /** Of each version, before anything is judged. */
  requests_min: number
  /** Share of the candidate's requests that may fail, above the share of the stable version's. */
  errors_max: number | null
  /** The candidate's 95th percentile of latency over the stable version's. */
  latency_ratio_max: number | null
  /** Of a canary: distance between the mean outputs, in standard deviations of the stable version's. */
  shift_max: number | null
  /** Of a shadow: share of rows with a value outside the tolerance. */
  rows_differing_max: number | null
}

/** A rollout as an edge follows it. */
export type RolloutPlan<Model> = {
  id: RolloutId
  mode: 'canary' | 'shadow'
  percent: number
  tolerance: Tolerance
  candidate: Model
}

/** Count, sum and sum of squares of an output's finite values, and how many others there were. */
export type Moments = { n: number; odd: number; sum: number; squares: number }

/** What was seen of one version. */
export type Side = {
  requests: number
  errors: number
  compute_us: number
  /** Answered requests by latency, in the buckets of `core/models/rollout/latency.ts`. */
  latency: number[]
  outputs: Record<string, Moments>
}

/** A shadow's answers beside the stable version's, by tensor. */
export type Difference = { max_abs_diff: number; rows_differing: number }
export type Compared = {
  requests: number
  rows: number
  rows_differing: number
  tensors: Record<string, Difference>
}

export type Report = {
  stable: Side
  candidate: Side
  compared: Compared
  /** Shadows that were left out, because as many as may were under way. */
  skipped: number
}
