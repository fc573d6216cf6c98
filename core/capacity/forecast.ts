/** What is about to arrive, from what has lately. */
import type { Arrivals } from './snapshot.ts'
import type { Demand } from './worth.ts'

/** Points that stand for the runs of a span, so that a flood of small ones costs no more to weigh. */
const POINTS = 8
/** Groups of runs whose means are compared. */
const GROUPS = 12

export type Usual = {
  /** Seconds of work that arrive in a second. */
  load: number
  /** Of work, of one run. */
  runS: number
}

/**
 * What usually arrives. Sizes have heavy tails, where a mean is what the last large run makes of it; a median of
 * means over spans is not moved by one (Lugosi, Mendelson: "Mean estimation and regression under heavy-tailed
 * distributions", 2019).
 */
export function usual({ bucketS, runs, workS }: Arrivals): Usual {
  const size = Math.max(1, Math.floor(runs.length / GROUPS))
  const spans = Array.from({ length: Math.floor(runs.length / size) }, (_, i) => ({
    runs: sum(runs.slice(i * size, (i + 1) * size)),
    workS: sum(workS.slice(i * size, (i + 1) * size)),
  }))
  const means = spans.filter(span => span.runs > 0).map(span => span.workS / span.runs)
  return {
    load: median(spans.map(span => span.workS / (size * bucketS))),
    runS: median(means),
  }
}

/**
 * Demands to come: what came within the last span, of the usual size, comes again within the next one as long.
 * The span is a cold start, because what is started now is not there before it is over.
 */
export function expected(
  arrivals: Arrivals,
  {
    spanS,
    runS,
    afterS,
    usdPerS,
  }: { spanS: number; runS: number; afterS: number; usdPerS: number },
): { runs: number; demands: Demand[] } {
  const runs = sum(arrivals.runs.slice(0, Math.round(spanS / arrivals.bucketS)))
  if (runs === 0 || runS === 0) return { runs: 0, demands: [] }
  const demands = Array.from({ length: POINTS }, (_, i) => {
    const part = (i + 0.5) / POINTS
    return {
      upToS: afterS + runs * runS * part,
      usdPerS: (usdPerS * runs) / POINTS,
      arrivesInS: spanS * part,
    }
  })
  return { runs, demands }
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0)
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor((values.length - 1) / 2)] ?? 0
}
