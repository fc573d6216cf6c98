/** What the policy decides from: one class of hardware, as it stands in PostgreSQL at one moment. */

export type Market = 'spot' | 'on_demand'

/** A run, with what of it nobody works on yet. */
export type WaitingRun = {
  tenantId: string
  /** Predicted seconds of one runner, over all its steps that wait. */
  workS: number
  /** Steps that wait: more runners than this cannot share it. */
  steps: number
  /** Predicted seconds of its longest step that waits. */
  longestS: number
  /** What its waiting is worth by that of others: 1 is usual, 0 nothing. */
  weight: number
  /** Seconds from now until which it must be done; null: it has all the time. */
  dueInS: number | null
}

export type HeldLease = {
  runner: string
  tenantId: string
  /** Predicted seconds until the step is done. */
  remainingS: number
}

export type RunnerState = 'starting' | 'warm' | 'draining'
export type RunnerNow = {
  name: string
  market: Market
  state: RunnerState
  /** Since it was asked for. */
  ageS: number
  /** For how long it has held no lease and answered nothing. */
  idleS: number
  /** Part of its time that online requests take, 0 to 1. */
  onlineShare: number
  /** Models that it holds in memory. */
  warmModels: number
}

export type Price = {
  usdPerHour: number
  /** Expected losses of a machine in an hour: 0 on on-demand capacity. */
  interruptionsPerHour: number
  /** Paid at least, however soon a machine goes again. */
  billedLeastS: number
}

/** What decisions of the past found, one after the other alike taken together. */
export type Need = {
  /** From when until when, seconds ago. */
  sinceS: number
  untilS: number
  /** Runners that there was work for. */
  runners: number
  /** Those that would have been started for it, had they not been there. */
  started: number
}
/** What arrived lately, by buckets of equal length. */
export type Arrivals = {
  bucketS: number
  /** Runs by bucket, the newest first. */
  runs: readonly number[]
  /** Their predicted seconds of work, by bucket. */
  workS: readonly number[]
}

export type Bounds = {
  /** Runners on on-demand capacity that are there in any case. */
  floor: number
  ceiling: number
  /** What an hour of waiting of one run is worth, in US dollars: what a start is weighed against. */
  waitUsdPerHour: number
  /** What a run that is late costs, US dollars. */
  missedUsd: number
  /** Runners that one tenant's work may call for, where nothing else is said. */
  tenantRunnersMax: number
  /** The same by tenant, where its operator has set one. */
  tenants: Readonly<Record<string, number>>
}

export type ClassNow = {
  hardware: string
  /** In the order in which they are served. */
  waiting: readonly WaitingRun[]
  leases: readonly HeldLease[]
  runners: readonly RunnerNow[]
  /** Seconds from asking for a runner to its first announcement, as observed; never empty. */
  coldStartsS: readonly number[]
  /** Seconds that a step which is met under way still takes on average: E[s²] / 2 E[s] of those lately. */
  residualStepS: number
  markets: { spot: Price | null; on_demand: Price | null }
  /** What was needed in the last hours, the newest first, without gaps. */
  needed: readonly Need[]
  arrivals: Arrivals
  /** Seconds since an online request found no runner; null: none ever did. */
  unmetS: number | null
  bounds: Bounds
}
