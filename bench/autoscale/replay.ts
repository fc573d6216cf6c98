/** One trace through one policy: what it cost and how long runs waited. */
import type { Driver } from './drive.ts'
import { Pool } from './pool.ts'
import { randomOf } from './random.ts'
import type { Trace } from './traces.ts'
import { WORLD } from './world.ts'

export type Outcome = {
  usd: number
  /** Seconds from a run's arrival to its end less what its longest step takes, ascending. */
  waitsS: number[]
  /** Of the runs that are due at a time, those that were late. */
  missed: number
  due: number
  interruptions: number
  /** Those of them without a notice. */
  kills: number
  lost: number
}

/** Runs that have not ended three times as late as the trace are lost, and there must be none. */
const LATEST = 3

export function replay(trace: Trace, drive: Driver, look?: (pool: Pool) => void): Outcome {
  const pool = new Pool(trace, randomOf(trace.seed + 1))
  const isOver = () =>
    pool.events.nowS >= trace.lengthS &&
    pool.doneJobs === trace.jobs.length &&
    pool.machines.size === 0
  drive(pool, isOver)
  if (look) every(pool, LOOK_S, look)
  pool.events.run(() => isOver() || pool.events.nowS > LATEST * trace.lengthS)
  pool.settle()
  const endOf = (doneS: number | null) => doneS ?? LATEST * trace.lengthS
  const due = pool.jobs.filter(({ job }) => job.dueS !== null)
  return {
    usd: pool.usd,
    waitsS: pool.jobs
      .map(({ job, doneS }) => endOf(doneS) - job.atS - Math.max(...job.steps))
      .toSorted((a, b) => a - b),
    missed: due.filter(({ job, doneS }) => endOf(doneS) > job.dueS!).length,
    due: due.length,
    interruptions: pool.interruptions,
    kills: pool.kills,
    lost: pool.jobs.filter(({ doneS }) => doneS === null).length,
  }
}

/** Between two looks at the pool, for a picture. */
export const LOOK_S = 30

function every(pool: Pool, s: number, look: (pool: Pool) => void): void {
  const next = () => {
    look(pool)
    pool.events.in(s, next)
  }
  next()
}

/** Several traces' outcomes as one. */
export function together(outcomes: readonly Outcome[]): Outcome {
  const sum = (of: (outcome: Outcome) => number) =>
    outcomes.reduce((total, outcome) => total + of(outcome), 0)
  return {
    usd: sum(o => o.usd),
    waitsS: outcomes.flatMap(o => o.waitsS).toSorted((a, b) => a - b),
    missed: sum(o => o.missed),
    due: sum(o => o.due),
    interruptions: sum(o => o.interruptions),
    kills: sum(o => o.kills),
    lost: sum(o => o.lost),
  }
}

export function quantileOf(sorted: readonly number[], part: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(part * sorted.length))] ?? 0
}

/** Machines, what waiting was worth, and what was late: what KEDA and Knative are tuned for. */
export function valueUsd({ usd, waitsS, missed }: Outcome): number {
  const waitedH = waitsS.reduce((sum, s) => sum + s, 0) / 3600
  return usd + waitedH * WORLD.waitUsdPerHour + missed * WORLD.missedUsd
}
