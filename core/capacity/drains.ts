/** Which runners are let go first, when there are more than are wanted. */
import type { ClassNow, Market, RunnerNow } from './snapshot.ts'

export type Drain = { runner: string; market: Market; why: string }

/**
 * Of each market those over its number: first those that are still starting, the youngest first, then those
 * that have nothing to do, with the fewest models in memory and idle for longest. One that holds a lease or
 * answers requests stays until it is done, and one that is paid for any way until then: neither is named.
 */
export function drains(
  { leases, markets }: Pick<ClassNow, 'leases' | 'markets'>,
  alive: readonly RunnerNow[],
  desired: Readonly<Record<Market, number>>,
): Drain[] {
  const busy = new Set(leases.map(({ runner }) => runner))
  return (['on_demand', 'spot'] as const).flatMap(market => {
    const there = alive.filter(runner => runner.market === market)
    const over = there.length - desired[market]
    const free = there.filter(
      runner => !busy.has(runner.name) && runner.onlineShare === 0 && !isPaid({ markets }, runner),
    )
    return free.toSorted(leastMissed).slice(0, Math.max(0, over)).map(named)
  })
}

/** Whether its least bill is not used up: to let it go now saves nothing. */
export function isPaid({ markets }: Pick<ClassNow, 'markets'>, { market, ageS }: RunnerNow) {
  return ageS < (markets[market]?.billedLeastS ?? 0)
}

function leastMissed(a: RunnerNow, b: RunnerNow): number {
  const starting = Number(b.state === 'starting') - Number(a.state === 'starting')
  if (starting !== 0) return starting
  if (a.state === 'starting') return a.ageS - b.ageS || order(a, b)
  return a.warmModels - b.warmModels || b.idleS - a.idleS || order(a, b)
}

/** So that the same moment gives the same answer. */
const order = (a: RunnerNow, b: RunnerNow) => (a.name < b.name ? -1 : 1)

function named({ name, market, state, idleS, warmModels }: RunnerNow): Drain {
  const why =
    state === 'starting'
      ? 'not up yet'
      : `idle for ${Math.round(idleS)} s with ${warmModels} models in memory`
  return { runner: name, market, why }
}
