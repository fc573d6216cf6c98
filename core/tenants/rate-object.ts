/**
 * The exact side of rate limits: one object per tenant, single writer. Edge isolates take leases of
 * tokens that are debited before they are spent, so that no number of isolates exceeds the limit.
 * A token bucket per limit (as GCRA, ITU-T I.371), counted in thousandths of a token: at a whole rate
 * per second each millisecond adds a whole number of them, so nothing is lost or won by rounding.
 */
import type { Clock, ObjectSql, RateLease } from '#core/deps.ts'

/** Tokens left over in an isolate are void after this, which bounds what a lease can strand. */
const LEASE_MS = 1_000
const TOKEN = 1_000

export class TenantRates {
  readonly #sql: ObjectSql
  readonly #clock: Clock

  constructor(sql: ObjectSql, clock: Clock) {
    this.#sql = sql
    this.#clock = clock
    sql.exec(
      'create table if not exists buckets (name text primary key, level real not null, at real not null)',
    )
  }

  /** Grants up to `want` tokens, as many as the limit has now. */
  leaseRate(input: { limit: string; perS: number; burst: number; want: number }): RateLease {
    const { limit, perS, burst, want } = input
    const now = this.#clock.now()
    const level = this.#level(limit, perS, burst * TOKEN, now)
    const granted = Math.min(want, Math.floor(level / TOKEN))
    if (granted > 0) this.#store(limit, level - granted * TOKEN, now)
    const retryAfterMs = granted > 0 ? 0 : Math.ceil((TOKEN - level) / perS)
    return { granted, validUntil: now + LEASE_MS, retryAfterMs }
  }

  #level(limit: string, perS: number, levelMax: number, now: number): number {
    const [stored] = this.#sql.exec<{ level: number; at: number }>(
      'select level, at from buckets where name = ?',
      limit,
    )
    if (!stored) return levelMax
    // A clock that was set back: what passed until then is counted already, from here it counts anew.
    if (stored.at > now) this.#store(limit, stored.level, now)
    return Math.min(levelMax, stored.level + Math.max(0, now - stored.at) * perS)
  }

  #store(limit: string, level: number, at: number): void {
    this.#sql.exec(
      `insert into buckets (name, level, at) values (?, ?, ?)
       on conflict (name) do update set level = excluded.level, at = excluded.at`,
      limit,
      level,
      at,
    )
  }
}
