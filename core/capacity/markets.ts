/** Spot or on-demand: the cheaper one by what its losses cost, and on-demand where a loss would be too late. */
import { AppError } from '#core/error.ts'
import type { ClassNow, Market, Price } from './snapshot.ts'

export type Choice = { market: Market; usdPerS: number }

/**
 * The market in which a second of work is cheapest. One that is lost takes the step under way along, and
 * another is started. Throws `internal` when there is no market at all.
 */
export function cheapest({ markets, residualStepS }: ClassNow, coldS: number): Choice {
  const found = (['spot', 'on_demand'] as const).flatMap(market => {
    const price = markets[market]
    return price ? [{ market, usdPerS: perS(price, coldS + residualStepS) }] : []
  })
  const [first] = found.toSorted((a, b) => a.usdPerS - b.usdPerS)
  if (!first) throw new AppError('internal', { internal: 'a class of hardware without a price' })
  return first
}

function perS({ usdPerHour, interruptionsPerHour }: Price, againS: number): number {
  return (usdPerHour / 3600) * (1 + (interruptionsPerHour / 3600) * againS)
}

/**
 * How many of `total` on which market: on on-demand the floor and those that spot is not trusted with
 * (`risky`); a machine that is there already is not replaced by a cheaper one while it is wanted.
 */
export function split(
  { markets, bounds, runners }: ClassNow,
  { total, risky, cheap }: { total: number; risky: number; cheap: Market },
): Record<Market, number> {
  if (cheap === 'on_demand' || !markets.spot) return { spot: 0, on_demand: total }
  if (!markets.on_demand) return { spot: total, on_demand: 0 }
  const present = (market: Market) =>
    runners.filter(runner => runner.market === market && runner.state !== 'draining').length
  const left = Math.min(present('on_demand'), total - Math.min(total, present('spot')))
  const onDemand = Math.min(total, Math.max(bounds.floor, risky, left))
  return { spot: total - onDemand, on_demand: onDemand }
}
