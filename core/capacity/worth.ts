/**
 * How many more runners are worth their cold start. One more is started while the waiting that it spares,
 * at its price, is worth what its start and its idle end cost: with `W` seconds of work of one run, `v`
 * for a second of its waiting and `c` for a start, about √(v·W/c) of them, as in square-root staffing
 * (Borst, Mandelbaum, Reiman: "Dimensioning large call centers", Operations Research 52, 2004).
 */
import { bends, doneAt, type Source, withOne } from './supply.ts'

/** Work in the order in which it is served: `upToS` does not fall. */
export type Demand = {
  /** Seconds of work up to the end of this one, what is before it included. */
  upToS: number
  /** What a second of its waiting is worth, US dollars. */
  usdPerS: number
  /** Seconds from now when it comes; 0: it waits already. */
  arrivesInS: number
}

/** Work that must be done by a time, in the same order. */
export type Due = { upToS: number; dueInS: number; longestS: number }

/**
 * What one more runner from `fromS` on spares, US dollars, counted no further than `enough`. Never less for more
 * work: fluid times bend where runners become free, and a little more work can make a further runner spare a
 * little less; the most that it spares for less work stands for that, so that a longer queue never calls for
 * fewer runners.
 */
export function gain(
  sources: readonly Source[],
  demands: readonly Demand[],
  fromS: number,
  enough = Infinity,
): number {
  if (sources.length === 0) return demands.some(d => d.usdPerS > 0) ? Infinity : 0
  const more = withOne(sources, { fromS, speed: 1 })
  const knots = [...bends(sources), ...bends(more)].toSorted((a, b) => a - b)
  const before = doneAt(sources)
  const after = doneAt(more)
  let sparedS = 0
  let knot = 0
  let usd = 0
  for (const { upToS, usdPerS, arrivesInS } of demands) {
    for (; knot < knots.length && knots[knot]! <= upToS; knot++) {
      const amount = knots[knot]!
      sparedS = Math.max(sparedS, before(amount) - after(amount))
    }
    const doneS = before(upToS)
    sparedS = Math.max(sparedS, doneS - after(upToS))
    usd += usdPerS * Math.min(sparedS, Math.max(0, doneS - arrivesInS))
    if (usd >= enough) return usd
  }
  return usd
}

/** A runner that could be there: one that starts already, or one that would be started. */
export type Candidate = { fromS: number; usd: number }

/** How many of the candidates, in their order, are worth what they cost from now on. */
export function worthHaving(
  sources: readonly Source[],
  demands: readonly Demand[],
  candidates: readonly Candidate[],
): number {
  let there = sources
  for (const [i, { fromS, usd }] of candidates.entries()) {
    if (gain(there, demands, fromS, usd) < usd) return i
    there = withOne(there, { fromS, speed: 1 })
  }
  return candidates.length
}

/**
 * How many of those that could be there from these times on are wanted, so that what is due is done in time.
 * What is due before a new runner could have done it calls for none.
 */
export function wantedInTime(
  sources: readonly Source[],
  due: readonly Due[],
  { fromS, coldS }: { fromS: readonly number[]; coldS: number },
): number {
  const order = due.filter(({ dueInS, longestS }) => dueInS > coldS + longestS)
  let there = sources
  for (const [i, from] of fromS.entries()) {
    const done = doneAt(there)
    if (order.every(({ upToS, dueInS }) => done(upToS) <= dueInS)) return i
    there = withOne(there, { fromS: from, speed: 1 })
  }
  return order.length === 0 ? 0 : fromS.length
}
