/** Who asks: the tenant and key that the edge found, as every place behind it sees them. */
import type { KeyId, RequestId, TenantId } from '#schemas/ids.ts'
import type { Scope } from '#schemas/route.ts'
import type { TraceContext } from './trace.ts'

export type Caller = {
  tenantId: TenantId
  keyId: KeyId
  scopes: Scope[]
  plan: string
  /** Travel into every receipt. */
  project: string | null
  tags: Record<string, string>
}

export type Call = {
  caller: Caller
  requestId: RequestId
  /** Where it stands in its trace; absent: it is not traced. */
  trace?: TraceContext
}
