/** What steps call for: those under way, those that wait, and those that are about to come. */
import { expected, usual } from './forecast.ts'
import { breakEvenS, type HoldCost } from './hold.ts'
import { dueOf, IN_TIME, queuedDemand, shareable, sourcesOf, staffing } from './reading.ts'
import type { ClassNow, RunnerNow } from './snapshot.ts'
import { leftOf, quantile } from './spread.ts'
import { wantedInTime, worthHaving } from './worth.ts'

export type BulkCall = {
  /** Runners that hold a lease. */
  busy: number
  /** Runners that the open steps could occupy, within the tenants' bounds. */
  shared: number
  warm: number
  /** Besides the warm ones, those whose start is worth it or goes on being. */
  worth: number
  /** The same, so that what is due is done in time. */
  inTime: number
  /** For the steady part of the load. */
  staffed: number
  /** All of that. */
  runners: number
  /** Those of them that would be started, were they not there. */
  started: number
}

export function calledFor(now: ClassNow, alive: readonly RunnerNow[], cost: HoldCost): BulkCall {
  const warm = alive.filter(({ state }) => state === 'warm')
  const starting = alive
    .filter(({ state }) => state === 'starting')
    .map(({ ageS, market }) => ({
      fromS: leftOf(now.coldStartsS, ageS),
      paidS: Math.max(0, (now.markets[market]?.billedLeastS ?? 0) - ageS),
    }))
    .toSorted((a, b) => a.fromS - b.fromS)
  const sources = sourcesOf(now, warm)
  const shared = shareable(now)
  /** Those that start, then those that would be started, as long as there is room for them. */
  const candidates = (runs: number, coldS: number) => {
    const room = Math.min(now.bounds.ceiling, shared + Math.floor(runs)) - warm.length
    return Array.from({ length: Math.max(0, room) }, (_, i) => {
      const { fromS, paidS } = starting[i] ?? { fromS: coldS, paidS: 0 }
      const forS = fromS + breakEvenS(cost, warm.length + i + 1, true)
      return { fromS, usd: cost.usdPerS * Math.max(0, forS - paidS) }
    })
  }
  const queued = queuedDemand(now, cost.waitUsdPerS)
  const { runS, load } = usual(now.arrivals)
  const { runs, demands } = expected(now.arrivals, {
    spanS: cost.coldS,
    runS,
    afterS: queued.at(-1)?.upToS ?? 0,
    usdPerS: cost.waitUsdPerS,
  })
  const worth = Math.max(
    worthHaving(sources, queued, candidates(0, cost.coldS)),
    worthHaving(sources, [...queued, ...demands], candidates(runs, cost.coldS)),
  )
  const coldS = quantile(now.coldStartsS, IN_TIME)
  const fromS = candidates(0, coldS).map(candidate => candidate.fromS)
  const inTime = wantedInTime(sources, dueOf(now), { fromS, coldS })
  const more = Math.max(worth, inTime)
  const holding = new Set(now.leases.map(({ runner }) => runner))
  const busy = alive.filter(({ name }) => holding.has(name)).length
  const staffed = staffing(load, cost.waitUsdPerS / cost.usdPerS)
  const open = more > 0 ? warm.length + more : Math.min(warm.length, shared)
  const runners = Math.max(busy, open, staffed)
  const started = Math.max(more > 0 ? warm.length + more : 0, staffed)
  return { busy, shared, warm: warm.length, worth, inTime, staffed, runners, started }
}
