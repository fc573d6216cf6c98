/**
 * Rate limits at the edge: tokens come in leases from the tenant's object, debited before they are
 * spent here, so that most requests need no hop and no limit is exceeded.
 */
import type { Caller } from '#core/caller.ts'
import { AppError } from '#core/error.ts'
import { PLANS } from '#schemas/plans.ts'
import type { LimitName } from '#schemas/route.ts'
import type { EdgeDeps } from '../deps.ts'

/** A lease is a share of a second's rate: small enough to strand little, large enough to spare hops. */
const LEASE_SHARE = 0.1
/** What an isolate may spend by itself while the object does not answer, as a share of the rate. */
const UNREACHABLE_SHARE = 0.1

type Pocket = {
  tokens: number
  validUntil: number
  emptyUntil: number
  leasing: Promise<void> | null
}

export class Limiter {
  readonly #deps: Pick<EdgeDeps, 'objects' | 'clock' | 'log'>
  readonly #pockets = new Map<string, Pocket>()

  constructor(deps: Pick<EdgeDeps, 'objects' | 'clock' | 'log'>) {
    this.#deps = deps
  }

  /** True when a token was at hand and is spent. */
  spendAtHand(caller: Caller, limit: LimitName, nowMs: number): boolean {
    const pocket = this.#pockets.get(`${caller.tenantId} ${limit}`)
    if (!pocket || pocket.tokens < 1 || pocket.validUntil < nowMs) return false
    pocket.tokens--
    return true
  }

  /** Spends one token, leasing more when there is none. Throws `rate_limited`. */
  async spend(caller: Caller, limit: LimitName): Promise<void> {
    for (;;) {
      const now = this.#deps.clock.now()
      if (this.spendAtHand(caller, limit, now)) return
      const pocket = this.#pocket(caller, limit)
      // A denial is remembered until a token is free, so that a flood costs the object nothing.
      if (pocket.emptyUntil > now) throw limited(limit, pocket.emptyUntil - now)
      pocket.leasing ??= this.#lease(caller, limit, pocket).finally(() => {
        pocket.leasing = null
      })
      await pocket.leasing
    }
  }

  async #lease(caller: Caller, limit: LimitName, pocket: Pocket): Promise<void> {
    const rate = (PLANS[caller.plan] ?? PLANS.standard!)[limit]
    const want = Math.max(1, Math.ceil(rate.perS * LEASE_SHARE))
    try {
      const lease = await this.#deps.objects
        .tenant(caller.tenantId)
        .leaseRate({ limit, ...rate, want })
      pocket.tokens = lease.granted
      pocket.validUntil = lease.validUntil
      pocket.emptyUntil = lease.granted > 0 ? 0 : this.#deps.clock.now() + lease.retryAfterMs
    } catch (error) {
      this.#deps.log.error('edge.limits_unreachable', { limit, error: String(error) })
      pocket.tokens = Math.max(1, Math.floor(rate.perS * UNREACHABLE_SHARE))
      pocket.validUntil = this.#deps.clock.now() + 1_000
    }
  }

  #pocket(caller: Caller, limit: LimitName): Pocket {
    const name = `${caller.tenantId} ${limit}`
    const known = this.#pockets.get(name)
    if (known) return known
    const pocket = { tokens: 0, validUntil: 0, emptyUntil: 0, leasing: null }
    this.#pockets.set(name, pocket)
    return pocket
  }
}

function limited(limit: LimitName, waitMs: number): AppError {
  const retryAfterS = Math.max(1, Math.ceil(waitMs / 1000))
  return new AppError('rate_limited', {
    public: `The limit "${limit}" of this tenant is used up; a request is free in ${retryAfterS} s.`,
    retryAfterS,
  })
}
