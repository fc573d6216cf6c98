/** Which version a request means: asked of the control API, kept for seconds, forgotten on a change. */
import type { Call } from '#core/caller.ts'
import type { Servable } from '#core/deps.ts'
import type { Served } from '#core/models/models.ts'
import type { EdgeDeps } from './deps.ts'
import { FreshCache } from './fresh-cache.ts'
import { ask } from './functions-client.ts'
import type { Limiter } from './middleware/limits.ts'

type Needs = Pick<EdgeDeps, 'functions' | 'signer' | 'clock' | 'background'>
const MODELS_MAX = 100_000

export class ModelDirectory {
  readonly #deps: Needs
  readonly #limits: Limiter
  readonly #versions = new FreshCache<Served>(MODELS_MAX)

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
    const found = await this.#versions.get(this.#deps, key, async () => {
      // Names that there are none of are never held: without this a flood of them reaches the database.
      await this.#limits.spend(call.caller, 'lookup')
      return ask<Served>(this.#deps, '/internal/models/resolve', { call, model, version })
    })
    return found!
  }

  forget(tenantId: string): void {
    this.#versions.delete(key => key.startsWith(`${tenantId} `))
  }
}

const keyOf = (tenantId: string, model: string, version = '') => `${tenantId} ${model} ${version}`
