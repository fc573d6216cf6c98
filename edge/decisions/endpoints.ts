/** Decision endpoints as they decide: asked of the control API, made ready once, kept for seconds. */
import type { Caller } from '#core/caller.ts'
import { AppError } from '#core/error.ts'
import type { DecisionPlan } from '#schemas/decision.ts'
import type { EdgeDeps } from '../deps.ts'
import { FreshCache } from '../fresh-cache.ts'
import { ask } from '../functions-client.ts'
import type { Limiter } from '../middleware/limits.ts'
import { compileDecider, type Decider } from './decider.ts'

const ENDPOINTS_MAX = 10_000

export class EndpointDirectory {
  readonly #deps: EdgeDeps
  readonly #limits: Limiter
  readonly #deciders = new FreshCache<Decider>(ENDPOINTS_MAX)

  constructor(deps: EdgeDeps, limits: Limiter) {
    this.#deps = deps
    this.#limits = limits
  }

  known(tenantId: string, name: string, nowMs: number): Decider | undefined {
    return this.#deciders.fresh(`${tenantId} ${name}`, nowMs)
  }

  /** Throws `not_found`. */
  async resolve(caller: Caller, name: string): Promise<Decider> {
    const key = `${caller.tenantId} ${name}`
    const found = await this.#deciders.get(this.#deps, key, async () => {
      await this.#limits.spend(caller, 'lookup')
      const input = { tenantId: caller.tenantId, endpoint: name }
      const { plan } = await ask<{ plan: DecisionPlan | null }>(
        this.#deps,
        '/internal/decisions/endpoint',
        input,
      )
      return plan && compileDecider(plan)
    })
    if (found) return found
    throw new AppError('not_found', { public: `There is no decision endpoint "${name}".` })
  }

  forget(tenantId: string): void {
    this.#deciders.delete(key => key.startsWith(`${tenantId} `))
  }
}
