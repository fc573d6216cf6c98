/**
 * Arrivals of runs from a seed. The forms and parameters are those of published traces, as they are remembered
 * and not fetched; rates are scaled to a pool of some ten runners.
 *
 * - `diurnal`: Azure Functions 2019 (Shahrad et al., "Serverless in the Wild", USENIX ATC 2020): half of the
 *   load is always there, half follows the day, which here lasts three hours so that a simulation has whole ones;
 *   durations log-normal with μ = −0.38 and σ = 2.36 in seconds (their fit).
 * - `bursty`: as Huawei's traces (Joosen et al., "How does it function?", SoCC 2023) show functions that are
 *   called in bursts: a Markov-modulated Poisson process with two states, the busy one 40 times as fast, for
 *   two minutes on average in every twenty.
 * - `heavy-tailed`: as in Alibaba's GPU cluster (cluster-trace-gpu-v2023), where the largest jobs have most of
 *   the work: gaps are Pareto with α = 1.5, work is Pareto with α = 1.4, between 5 s and 3 h.
 */
import { type Random, randomOf } from './random.ts'

export type Job = {
  atS: number
  tenantId: string
  /** Seconds of one runner, by step. */
  steps: number[]
  /** By when it must be done, if it has a time; seconds of the trace. */
  dueS: number | null
}
export type Trace = { name: string; seed: number; lengthS: number; jobs: Job[] }

const HOUR_S = 3600
const DAY_S = 3 * HOUR_S
/** Bulk work is cut into steps of so much; a run has no more than so many. */
const STEP_S = 30
const STEPS_MAX = 512
/** So large a part of the runs has a time by which it must be done. */
const DUE_PART = 0.3
const TENANTS = 12

export const TRACES = {
  diurnal: (seed: number) => made('diurnal', seed, 2 * DAY_S, diurnal),
  bursty: (seed: number) => made('bursty', seed, 8 * HOUR_S, bursty),
  'heavy-tailed': (seed: number) => made('heavy-tailed', seed, 8 * HOUR_S, heavyTailed),
}
export type TraceName = keyof typeof TRACES

type Arrival = { atS: number; workS: number }

function made(
  name: string,
  seed: number,
  lengthS: number,
  arrivals: (random: Random, lengthS: number) => Generator<Arrival>,
): Trace {
  const random = randomOf(seed)
  const jobs: Job[] = []
  for (const { atS, workS } of arrivals(random, lengthS)) {
    const count = Math.min(STEPS_MAX, Math.max(1, Math.ceil(workS / STEP_S)))
    const dueS = random.next() < DUE_PART ? atS + 120 + workS / 10 : null
    jobs.push({
      atS,
      // A few tenants have most of the runs.
      tenantId: `tenant-${Math.floor(TENANTS * random.next() ** 2)}`,
      steps: Array.from({ length: count }, () => workS / count),
      dueS,
    })
  }
  return { name, seed, lengthS, jobs }
}

function* diurnal(random: Random, lengthS: number): Generator<Arrival> {
  const peakPerS = 0.9
  for (let atS = random.exponential(1 / peakPerS); atS < lengthS; ) {
    // Half of the peak always, the other half by the hour (thinning: Lewis, Shedler, 1979).
    const part = 0.5 + 0.25 * (1 - Math.cos((2 * Math.PI * atS) / DAY_S))
    const workS = Math.min(1800, random.logNormal(Math.exp(-0.38), 2.36))
    if (random.next() < part) yield { atS, workS: Math.max(0.05, workS) }
    atS += random.exponential(1 / peakPerS)
  }
}

function* bursty(random: Random, lengthS: number): Generator<Arrival> {
  const calmPerS = 0.02
  const burstPerS = 40 * calmPerS
  let atS = 0
  let isBurst = false
  while (atS < lengthS) {
    const endS = Math.min(lengthS, atS + random.exponential(isBurst ? 120 : 1080))
    const perS = isBurst ? burstPerS : calmPerS
    for (let nextS = atS + random.exponential(1 / perS); nextS < endS; ) {
      yield { atS: nextS, workS: Math.min(1800, random.logNormal(10, 1.2)) }
      nextS += random.exponential(1 / perS)
    }
    atS = endS
    isBurst = !isBurst
  }
}

function* heavyTailed(random: Random, lengthS: number): Generator<Arrival> {
  let atS = 0
  for (;;) {
    atS += random.pareto(10, 1.5, 2 * HOUR_S)
    if (atS >= lengthS) return
    yield { atS, workS: random.pareto(5, 1.4, 3 * HOUR_S) }
  }
}
