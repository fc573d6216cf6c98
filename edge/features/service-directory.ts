/** Feature services as they are read: asked of the control API, compiled once per content, kept for seconds. */
import type { Caller } from '#core/caller.ts'
import { AppError } from '#core/error.ts'
import type { ServicePlan } from '#schemas/feature.ts'
import type { EdgeDeps } from '../deps.ts'
import { FreshCache } from '../fresh-cache.ts'
import { ask } from '../functions-client.ts'
import type { Limiter } from '../middleware/limits.ts'
import { compileReader, type Reader } from './reader.ts'

const SERVICES_MAX = 10_000

export class ServiceDirectory {
  readonly #deps: EdgeDeps
  readonly #limits: Limiter
  readonly #readers = new FreshCache<Reader>(SERVICES_MAX)

  constructor(deps: EdgeDeps, limits: Limiter) {
    this.#deps = deps
    this.#limits = limits
  }

  /** Throws `not_found`. */
  async resolve(caller: Caller, name: string): Promise<Reader> {
    const key = `${caller.tenantId} ${name}`
    const known = this.#readers.fresh(key, this.#deps.clock.now())
    if (known) return known
    const found = await this.#readers.get(this.#deps, key, async () => {
      await this.#limits.spend(caller, 'lookup')
      const input = { tenantId: caller.tenantId, service: name }
      const { plan } = await ask<{ plan: ServicePlan | null }>(
        this.#deps,
        '/internal/features/service',
        input,
      )
      return plan && compileReader(plan)
    })
    if (found) return found
    throw new AppError('not_found', { public: `There is no feature service "${name}".` })
  }

  forget(tenantId: string): void {
    this.#readers.delete(key => key.startsWith(`${tenantId} `))
  }
}
