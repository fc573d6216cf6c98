/** A tenant's object as a Durable Object: a shell around the class that also runs over `node:sqlite`. */
import { DurableObject } from 'cloudflare:workers'
import type { RateLease } from '#core/deps.ts'
import { TenantRates } from '#core/tenants/rate-object.ts'
import { sqlOf } from './sql.ts'

export class TenantObject extends DurableObject {
  #rates: TenantRates | null = null

  leaseRate(input: Parameters<TenantRates['leaseRate']>[0]): RateLease {
    try {
      return this.ctx.storage.transactionSync(() => {
        this.#rates ??= new TenantRates(sqlOf(this.ctx.storage), { now: () => Date.now() })
        return this.#rates.leaseRate(input)
      })
    } catch (error) {
      // What it remembers may be ahead of what was stored: it opens anew.
      this.#rates = null
      throw error
    }
  }
}
