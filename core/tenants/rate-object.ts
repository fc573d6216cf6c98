/**
 * The exact side of rate limits: one object per tenant, single writer. Edge isolates take leases of
 * tokens that are debited before they are spent, so that no number of isolates exceeds the limit.
 * GCRA (ITU-T I.371, in its virtual-scheduling form): one theoretical arrival time per limit.
 */
import type { Clock, ObjectSql, RateLease } from '#core/deps.ts'

/** Tokens left over in an isolate are void after this, which bounds what a lease can strand. */
const LEASE_MS = 1_000

export class TenantRates {
  readonly #sql: ObjectSql
  readonly #clock: Clock

  constructor(sql: ObjectSql, clock: Clock) {
    this.#sql = sql
    this.#clock = clock
    sql.exec('create table if not exists rates (name text primary key, tat real not null)')
  }

  /** Grants up to `want` tokens, as many as the limit has now. */
  leaseRate(input: { limit: string; perS: number; burst: number; want: number }): RateLease {
    const now = this.#clock.now()
    const interval = 1_000 / input.perS
    const tolerance = interval * input.burst
    const stored = this.#sql.exec<{ tat: number }>('select tat from rates where name = ?', input.limit)
    const tat = Math.max(stored[0]?.tat ?? now, now)
    const free = Math.floor((now + tolerance - tat) / interval)
    const granted = Math.max(0, Math.min(input.want, free))
    if (granted > 0) {
      this.#sql.exec(
        'insert into rates (name, tat) values (?, ?) on conflict (name) do update set tat = excluded.tat',
        input.limit,
        tat + granted * interval,
      )
    }
    const retryAfterMs = granted > 0 ? 0 : Math.ceil(tat + interval - tolerance - now)
    return { granted, validUntil: now + LEASE_MS, retryAfterMs }
  }
}
