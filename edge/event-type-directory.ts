/** Contracts of events: asked of the control API, kept for seconds, forgotten on a change. */
import type { Caller } from '#core/caller.ts'
import type { EventType } from '#schemas/event.ts'
import type { EdgeDeps } from './deps.ts'
import { FreshCache } from './fresh-cache.ts'
import { ask } from './functions-client.ts'
import type { Limiter } from './middleware/limits.ts'

const TYPES_MAX = 100_000

export class EventTypeDirectory {
  readonly #deps: EdgeDeps
  readonly #limits: Limiter
  readonly #types = new FreshCache<EventType>(TYPES_MAX)

  constructor(deps: EdgeDeps, limits: Limiter) {
    this.#deps = deps
    this.#limits = limits
  }

  /** Null: nobody declared it. */
  async resolve(caller: Caller, type: string): Promise<EventType | null> {
    const { tenantId } = caller
    const key = `${tenantId} ${type}`
    const known = this.#types.fresh(key, this.#deps.clock.now())
    if (known) return known
    return this.#types.get(this.#deps, key, async () => {
      await this.#limits.spend(caller, 'lookup')
      const input = { tenantId, type }
      const found = await ask<{ type: EventType | null }>(
        this.#deps,
        '/internal/events/type',
        input,
      )
      return found.type
    })
  }

  forget(tenantId: string): void {
    this.#types.delete(key => key.startsWith(`${tenantId} `))
  }
}
