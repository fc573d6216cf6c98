/** Feature services as they are read, by their names. */
import type { Caller } from '#core/caller.ts'
import { AppError } from '#core/error.ts'
import type { ServicePlan } from '#schemas/feature.ts'
import type { EdgeDeps } from '../deps.ts'
import { TenantDirectory } from '../fresh-cache.ts'
import type { Limiter } from '../middleware/limits.ts'
import { compileReader, type Reader } from './reader.ts'

const SERVICES_MAX = 10_000

export class ServiceDirectory extends TenantDirectory<{ plan: ServicePlan | null }, Reader> {
  constructor(deps: EdgeDeps, limits: Limiter) {
    super(deps, limits, {
      path: '/internal/features/service',
      made: ({ plan }) => plan && compileReader(plan),
      entriesMax: SERVICES_MAX,
    })
  }

  /** Throws `not_found`. */
  async resolve(caller: Caller, name: string): Promise<Reader> {
    const found = await this.find({ caller, name, input: { service: name } })
    if (found) return found
    throw new AppError('not_found', { public: `There is no feature service "${name}".` })
  }
}
