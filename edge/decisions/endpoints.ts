/** Decision endpoints as they decide, by their names. */
import type { Caller } from '#core/caller.ts'
import { AppError } from '#core/error.ts'
import type { DecisionPlan } from '#schemas/decision.ts'
import type { EdgeDeps } from '../deps.ts'
import { TenantDirectory } from '../fresh-cache.ts'
import type { Limiter } from '../middleware/limits.ts'
import { compileDecider, type Decider } from './decider.ts'

const ENDPOINTS_MAX = 10_000

export class EndpointDirectory extends TenantDirectory<{ plan: DecisionPlan | null }, Decider> {
  constructor(deps: EdgeDeps, limits: Limiter) {
    super(deps, limits, {
      path: '/internal/decisions/endpoint',
      made: ({ plan }) => plan && compileDecider(plan),
      entriesMax: ENDPOINTS_MAX,
    })
  }

  /** Throws `not_found`. */
  async resolve(caller: Caller, name: string): Promise<Decider> {
    const found = await this.find({ caller, name, input: { endpoint: name } })
    if (found) return found
    throw new AppError('not_found', { public: `There is no decision endpoint "${name}".` })
  }
}
