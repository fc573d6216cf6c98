/**
 * Rate limits at the edge: tokens come in leases from the tenant's object, debited before they are
 * spent here, so that most requests need no hop and no limit is exceeded.
 */
import type { Caller } from '#core/caller.ts'
import { AppError } from '#core/error.ts'
import { PLANS, type Rate } from '#schemas/plans.ts'
import type { LimitName } from '#schemas/route.ts'
import type { EdgeDeps } from '../deps.ts'

/** A lease is a share of a second's rate: small enough to strand little, large enough to spare hops. */
const LEASE_SHARE = 0.1
/** What an isolate may spend by itself while the object does not answer, as a share of the rate. */
const UNREACHABLE_SHARE = 0.1
/** The next lease is asked for when the last has so little time, or such a share of its tokens, left. */
const RENEW_MS = 300
const RENEW_SHARE = 0.3

type Lease = {
  tokens: number
  validUntil: number
  /** Its successor has been asked for, once: where that fails, whoever finds nothing at hand asks again. */
  renewed: boolean
}
type Pocket = {
  lease: Lease
  /** What came before the lease was used up. */
  next: Lease | null
  emptyUntil: number
  leasing: Promise<void> | null
}

export class Limiter {
  readonly #deps: Pick<EdgeDeps, 'objects' | 'clock' | 'log' | 'background'>
  readonly #pockets = new Map<string, Pocket>()

  constructor(deps: Pick<EdgeDeps, 'objects' | 'clock' | 'log' | 'background'>) {
    this.#deps = deps
  }

  /** True when a token was at hand and is spent. */
  spendAtHand(caller: Caller, limit: LimitName, nowMs: number): boolean {
    const pocket = this.#pockets.get(`${caller.tenantId} ${limit}`)
    if (!pocket) return false
    if (!isGood(pocket.lease, nowMs)) {
      if (!pocket.next || !isGood(pocket.next, nowMs)) return false
      pocket.lease = pocket.next
      pocket.next = null
    }
    const { lease } = pocket
    lease.tokens--
    if (!lease.renewed && isEnding(lease, rateOf(caller, limit), nowMs)) {
      this.#renew(caller, limit, pocket)
    }
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

  /** Asks for the next lease while the last tokens are spent: the object's commit is nobody's wait then. */
  #renew(caller: Caller, limit: LimitName, pocket: Pocket): void {
    pocket.lease.renewed = true
    if (pocket.leasing) return
    const leasing = this.#ask(caller, limit, pocket)
      .catch(error => this.#unreachable(limit, error))
      .finally(() => {
        pocket.leasing = null
      })
    pocket.leasing = leasing
    this.#deps.background(leasing)
  }

  async #lease(caller: Caller, limit: LimitName, pocket: Pocket): Promise<void> {
    try {
      await this.#ask(caller, limit, pocket)
    } catch (error) {
      this.#unreachable(limit, error)
      const tokens = Math.max(1, Math.floor(rateOf(caller, limit).perS * UNREACHABLE_SHARE))
      pocket.next = { tokens, validUntil: this.#deps.clock.now() + 1_000, renewed: true }
    }
  }

  async #ask(caller: Caller, limit: LimitName, pocket: Pocket): Promise<void> {
    const rate = rateOf(caller, limit)
    const lease = await this.#deps.objects
      .tenant(caller.tenantId)
      .leaseRate({ limit, ...rate, want: wantOf(rate) })
    pocket.next = { tokens: lease.granted, validUntil: lease.validUntil, renewed: false }
    pocket.emptyUntil = lease.granted > 0 ? 0 : this.#deps.clock.now() + lease.retryAfterMs
  }

  #unreachable(limit: LimitName, error: unknown): void {
    this.#deps.log.error('edge.limits_unreachable', { limit, error: String(error) })
  }

  #pocket(caller: Caller, limit: LimitName): Pocket {
    const name = `${caller.tenantId} ${limit}`
    const known = this.#pockets.get(name)
    if (known) return known
    const lease = { tokens: 0, validUntil: 0, renewed: true }
    const pocket = { lease, next: null, emptyUntil: 0, leasing: null }
    this.#pockets.set(name, pocket)
    return pocket
  }
}

function isGood({ tokens, validUntil }: Lease, nowMs: number): boolean {
  return tokens >= 1 && validUntil >= nowMs
}

function isEnding({ tokens, validUntil }: Lease, rate: Rate, nowMs: number): boolean {
  return validUntil - nowMs < RENEW_MS || tokens < wantOf(rate) * RENEW_SHARE
}

function rateOf(caller: Caller, limit: LimitName): Rate {
  return (PLANS[caller.plan] ?? PLANS.standard!)[limit]
}

function wantOf(rate: Rate): number {
  return Math.max(1, Math.ceil(rate.perS * LEASE_SHARE))
}

function limited(limit: LimitName, waitMs: number): AppError {
  const retryAfterS = Math.max(1, Math.ceil(waitMs / 1000))
  return new AppError('rate_limited', {
    public: `The limit "${limit}" of this tenant is used up; a request is free in ${retryAfterS} s.`,
    retryAfterS,
  })
}
