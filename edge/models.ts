/** Which version a request means: asked of the control API, kept for seconds, forgotten on a change. */
import type { Call } from '#core/caller.ts'
import type { Servable } from '#core/deps.ts'
import { AppError } from '#core/error.ts'
import type { Served } from '#core/models/models.ts'
import type { EdgeDeps } from './deps.ts'
import { FreshCache, STALE_MS } from './fresh-cache.ts'
import { ask } from './functions-client.ts'
import type { Limiter } from './middleware/limits.ts'

type Needs = Pick<EdgeDeps, 'functions' | 'signer' | 'clock' | 'background'>
const MODELS_MAX = 100_000

export class ModelDirectory {
  readonly #deps: Needs
  readonly #limits: Limiter
  readonly #versions = new FreshCache<Served>(MODELS_MAX)
  /** What stood here until a change was made, by key. */
  readonly #before = new Map<string, { served: Served; until: number }>()

  constructor(deps: Needs, limits: Limiter) {
    this.#deps = deps
    this.#limits = limits
  }

  /** The version that the name stands for, without a promise. */
  known(tenantId: string, model: string, version: string | undefined, nowMs: number) {
    return this.knownServed(tenantId, model, version, nowMs)?.model
  }

  /** Throws `not_found`, `conflict` when the version is not ready, `rate_limited`. */
  async resolve(call: Call, model: string, version?: string): Promise<Servable> {
    return (await this.served(call, model, version)).model
  }

  knownServed(tenantId: string, model: string, version: string | undefined, nowMs: number) {
    return this.#versions.fresh(keyOf(tenantId, model, version), nowMs)
  }

  /** The same with the rollout that runs under this name. */
  async served(call: Call, model: string, version?: string): Promise<Served> {
    const key = keyOf(call.caller.tenantId, model, version)
    try {
      const found = await this.#versions.get(this.#deps, key, async () => {
        // Names that there are none of are never held: without this a flood of them reaches the database.
        await this.#limits.spend(call.caller, 'lookup')
        return ask<Served>(this.#deps, '/internal/models/resolve', { call, model, version })
      })
      this.#before.delete(key)
      return found!
    } catch (error) {
      // While the control API is away: a restart of it right after a change costs no request.
      const before = this.#before.get(key)
      const isAway = error instanceof AppError && error.code === 'unavailable'
      if (!isAway || !before || before.until < this.#deps.clock.now()) throw error
      return before.served
    }
  }

  /** What was changed of a model holds here at once; without its name: of all of the tenant's. */
  forget(tenantId: string, model?: string): void {
    const now = this.#deps.clock.now()
    const until = now + STALE_MS
    for (const [key, before] of this.#before) if (before.until < now) this.#before.delete(key)
    const prefix = model === undefined ? `${tenantId} ` : `${tenantId} ${model} `
    this.#versions.delete((key, served) => {
      if (!key.startsWith(prefix)) return false
      if (this.#before.size < MODELS_MAX) this.#before.set(key, { served, until })
      return true
    })
  }
}

const keyOf = (tenantId: string, model: string, version = '') => `${tenantId} ${model} ${version}`
