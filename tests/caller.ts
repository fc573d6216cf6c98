/** Callers for tests of the verbs: a tenant made as the platform makes its first, and calls on its behalf. */
import type { Call } from '#core/caller.ts'
import type { Clock, Database, Unit } from '#core/deps.ts'
import * as tenants from '#core/tenants/tenants.ts'
import { type KeyId, newId, type TenantId } from '#schemas/ids.ts'
import { SCOPES, type Scope } from '#schemas/route.ts'

export const systemClock: Clock = { now: () => Date.now() }

/** A clock that stands until it is moved. */
export function handClock(startMs = Date.UTC(2026, 0, 1)) {
  let now = startMs
  return {
    now: () => now,
    forward(ms: number) {
      now += ms
    },
  }
}

export async function newTenant(db: Database): Promise<{ tenantId: TenantId; keyId: KeyId }> {
  const { publicId, hash } = await tenants.mint()
  const tenantId = newId('tenant')
  const keyId = newId('key')
  await db.tenant(tenantId, tx =>
    tenants.createFirst(
      { tx, clock: systemClock },
      { tenantId, keyId, name: 'test', publicId, hash },
    ),
  )
  return { tenantId, keyId }
}

export function callOf(
  tenantId: TenantId,
  more: {
    keyId?: KeyId
    scopes?: readonly Scope[]
    project?: string
    tags?: Record<string, string>
  } = {},
): Call {
  const { keyId = newId('key'), scopes = SCOPES, project = null, tags = {} } = more
  const caller = { tenantId, keyId, scopes: [...scopes], plan: 'standard', project, tags }
  return { caller, requestId: newId('request') }
}

/** Runs one verb in a transaction of the tenant. */
export function inTenant<T>(
  deps: { db: Database; clock?: Clock },
  tenantId: TenantId,
  work: (unit: Unit) => Promise<T>,
): Promise<T> {
  return deps.db.tenant(tenantId, tx => work({ tx, clock: deps.clock ?? systemClock }))
}
