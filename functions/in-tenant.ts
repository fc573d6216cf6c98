/** Work of a tenant that a place of ours asks for: the body names the tenant, its signature vouches for that. */
import type { Unit } from '#core/deps.ts'
import { AppError } from '#core/error.ts'
import type { TraceContext } from '#core/trace.ts'
import type { TenantId } from '#schemas/ids.ts'
import type { FunctionsDeps } from './deps.ts'

export type OfTenant<T> = T & Asker
/** `trace`: where it stands, if it is traced; what the work promises goes on with it. */
type Asker = { tenantId: TenantId; trace?: TraceContext }

/** What the work promised begins to be sent when it has committed. */
export async function inTenant<T>(
  deps: FunctionsDeps,
  { tenantId, trace }: Asker,
  work: (unit: Unit) => Promise<T>,
): Promise<T> {
  if (!tenantId) throw new AppError('invalid_request', { internal: 'no tenant' })
  let promised: bigint[] = []
  const result = await deps.db.tenant(tenantId, tx => {
    // It may run again: only what committed counts.
    promised = []
    return work({ tx, clock: deps.clock, trace, promised })
  })
  if (promised.length > 0) deps.promised(promised)
  return result
}
