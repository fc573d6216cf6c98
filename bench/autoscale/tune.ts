/** The settings of each policy, chosen on seeds that it is not judged by. */
import { GRIDS, type Option, type Policy } from './grids.ts'
import { type Outcome, quantileOf, replay, together, valueUsd } from './replay.ts'
import type { Trace } from './traces.ts'

export type Tuned = Record<Policy, Option>
type Tried = { option: Option; outcome: Outcome }

/**
 * Of KEDA and of Knative what is worth most to who pays for machines, waiting and late runs. Of ours the price of
 * waiting at which it costs no more than the cheaper of the two, and its slowest runs wait least; where it always
 * costs more, the cheapest. Each for each trace by itself, which flatters all of them.
 */
export function tune(traces: readonly Trace[], onTried: () => void): Tuned {
  const tryAll = (policy: Policy) =>
    GRIDS[policy].map((option): Tried => {
      const outcome = together(traces.map(trace => replay(trace, option.drive)))
      onTried()
      return { option, outcome }
    })
  const keda = least(tryAll('keda'), ({ outcome }) => valueUsd(outcome))
  const knative = least(tryAll('knative'), ({ outcome }) => valueUsd(outcome))
  const usdMax = Math.min(keda.outcome.usd, knative.outcome.usd)
  const ours = tryAll('galley')
  const affordable = ours.filter(({ outcome }) => outcome.usd <= usdMax)
  const galley =
    affordable.length > 0
      ? least(affordable, ({ outcome }) => quantileOf(outcome.waitsS, 0.99))
      : least(ours, ({ outcome }) => outcome.usd)
  return { galley: galley.option, keda: keda.option, knative: knative.option }
}

function least(tried: readonly Tried[], by: (one: Tried) => number): Tried {
  return tried.toSorted((a, b) => by(a) - by(b))[0]!
}
