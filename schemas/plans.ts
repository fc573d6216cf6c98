/** What each plan allows: sustained rate and burst of every limit. */
import type { LimitName } from './route.ts'

export type Rate = { perS: number; burst: number }

export const PLANS: Record<string, Record<LimitName, Rate>> = {
  standard: {
    control: { perS: 500, burst: 2_000 },
    inference: { perS: 100_000, burst: 200_000 },
    transfer: { perS: 100, burst: 400 },
    lookup: { perS: 200, burst: 1_000 },
    events: { perS: 10_000, burst: 40_000 },
    features: { perS: 50_000, burst: 100_000 },
  },
}

/** A tenant's share of a model's rows while others wait too, in proportion to theirs. */
export const SHARES: Record<string, number> = { standard: 1 }
