/**
 * For how long a runner that has nothing to do is kept. To let it go and start another costs the cold start
 * and the waiting meanwhile; to keep it costs its price by the second. Who does not know when it is needed
 * again keeps it until it has cost as much idle as a start would, and pays at most twice what one who knew
 * would have paid (ski rental: Karlin, Manasse, Rudolph, Sleator, "Competitive snoopy caching", 1988).
 */
import type { Need } from './snapshot.ts'

export type HoldCost = {
  /** Mean of the cold start. */
  coldS: number
  usdPerS: number
  /** Of waiting. */
  waitUsdPerS: number
  residualStepS: number
}

/**
 * Idle seconds that cost as much as being without the runner of this rank, 1 for the only one. Without the
 * sixth a run waits until one of the five is free, or for a start if that is sooner; a start itself costs as
 * much again where it would be made (`isStarted`), and without the only one it always is.
 */
export function breakEvenS(cost: HoldCost, rank: number, isStarted: boolean): number {
  const { coldS, usdPerS, waitUsdPerS, residualStepS } = cost
  const waitS = rank === 1 ? coldS : Math.min(coldS, residualStepS / (rank - 1))
  return (isStarted || rank === 1 ? coldS : 0) + (waitS * waitUsdPerS) / usdPerS
}

/** The runners, up to `present`, that are still held after their last need. */
export function held(needed: readonly Need[], present: number, cost: HoldCost): number {
  for (let rank = present; rank > 0; rank--) {
    const last = needed.find(({ runners }) => runners >= rank)
    if (last && last.untilS <= holdS(needed, rank, breakEvenS(cost, rank, rank <= last.started))) {
      return rank
    }
  }
  return 0
}

/** Below so many gaps nothing is said of the next one. */
const GAPS_LEAST = 3

/**
 * For how long a rank is held. As long as the break-even time, unless the gaps between its needs so far would
 * have cost less with a shorter one: a rank that is needed in bursts an hour apart goes at once, one that is
 * needed every minute stays. What the past recommends is never longer than the break-even time, so that what
 * it costs where the past misleads stays bounded (Purohit, Svitkina, Kumar: "Improving online algorithms via
 * ML predictions", 2018).
 */
export function holdS(needed: readonly Need[], rank: number, breakEven: number): number {
  const gaps = gapsOf(needed, rank)
  if (gaps.length < GAPS_LEAST) return breakEven
  const costs = (s: number) => gaps.reduce((sum, gap) => sum + (gap > s ? s + breakEven : gap), 0)
  const choices = [0, ...gaps.filter(gap => gap < breakEven), breakEven].toSorted((a, b) => a - b)
  let best = choices[0]!
  let least = costs(best)
  for (const choice of choices) {
    const total = costs(choice)
    if (total < least) [best, least] = [choice, total]
  }
  return best
}

/** Seconds for which a rank was not needed, each time until it was again. */
function gapsOf(needed: readonly Need[], rank: number): number[] {
  const gaps: number[] = []
  /** When it was needed next, going back; null: not since. */
  let nextS: number | null = null
  for (const { sinceS, untilS, runners } of needed) {
    if (runners < rank) continue
    if (nextS !== null && untilS > nextS) gaps.push(untilS - nextS)
    nextS = sinceS
  }
  return gaps
}
