/**
 * How many runners a class of hardware should have: a pure function of one moment in PostgreSQL. It weighs
 * money against waiting; the times that it uses are observed ones, or follow from prices.
 */
import { calledFor } from './called.ts'
import { type Drain, drains, isPaid } from './drains.ts'
import { type HoldCost, held } from './hold.ts'
import { cheapest, split } from './markets.ts'
import { dueOf, IN_TIME, onlineNeed, sourcesOf } from './reading.ts'
import { reasonsOf } from './reasons.ts'
import type { ClassNow, Market, Need } from './snapshot.ts'
import { mean, quantile } from './spread.ts'
import { doneAt, type Source } from './supply.ts'

/** What an hour of a run's waiting is worth, in US dollars: the one setting that is a matter of taste. */
export const WAIT_USD_PER_HOUR = 0.2

export type Decision = {
  hardware: string
  /** Runners that there should be, those that start included. */
  desired: Record<Market, number>
  /** What there is work for now; the next decisions read it as their past. */
  need: Pick<Need, 'runners' | 'started'>
  /** Those to be let go, the first one first. None of them holds a lease. */
  drain: Drain[]
  /** Why, in words: what called for the number, and what it means for those that are there. */
  reasons: string[]
}

export function decide(now: ClassNow): Decision {
  const { bounds } = now
  const alive = now.runners.filter(({ state }) => state !== 'draining')
  const cost = costOf(now)
  const sources = sourcesOf(now, alive)
  const bulk = calledFor(now, alive, cost)
  const online = onlineNeed(now, alive, cost.waitUsdPerS / cost.usdPerS)
  const needed = Math.max(bulk.runners, online)
  const paid = alive.filter(runner => isPaid(now, runner)).length
  const kept = Math.max(held(now.needed, alive.length, cost), paid)
  const total = Math.min(bounds.ceiling, Math.max(needed, kept, bounds.floor))
  const more = Array.from({ length: Math.max(0, total - alive.length) }, () => cost.coldS)
  const later = more.map(fromS => ({ fromS, speed: 1 }))
  const risky = riskyOf(
    now,
    [...sources, ...later].toSorted((a, b) => a.fromS - b.fromS),
  )
  const desired = split(now, { total, risky, cheap: cost.market })
  const need = { runners: needed, started: Math.max(bulk.started, online) }
  const drain = drains(now, alive, desired)
  const why = { present: alive.length, bulk, online, needed, kept, total, risky, cost }
  return { hardware: now.hardware, desired, need, drain, reasons: reasonsOf(now, why, drain) }
}

function costOf(now: ClassNow): HoldCost & { market: Market } {
  const coldS = mean(now.coldStartsS)
  const waitUsdPerS = now.bounds.waitUsdPerHour / 3600
  return { coldS, waitUsdPerS, residualStepS: now.residualStepS, ...cheapest(now, coldS) }
}

/**
 * Runners whose loss would make what they work on late, because there is no time to do it again, where that
 * is to be feared by more than on-demand capacity costs on top.
 */
function riskyOf(now: ClassNow, sources: Source[]): number {
  const { spot, on_demand: onDemand } = now.markets
  if (!spot || !onDemand) return 0
  const coldS = quantile(now.coldStartsS, IN_TIME)
  const done = doneAt(sources)
  const lostUsdPerHour = spot.interruptionsPerHour * now.bounds.missedUsd
  const onTopUsdPerHour = onDemand.usdPerHour - spot.usdPerHour
  return dueOf(now).reduce((runners, { upToS, dueInS, longestS, steps }) => {
    const doneS = done(upToS)
    const isTight = dueInS > coldS + longestS && doneS + coldS + longestS > dueInS
    const isFeared = doneS * lostUsdPerHour > (coldS + doneS) * onTopUsdPerHour
    return isTight && isFeared ? runners + steps : runners
  }, 0)
}
