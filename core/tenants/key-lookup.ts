/** Keys as the edge asks for them: across tenants, by what a caller shows, for the platform's own role. */
import { eq, gt } from 'drizzle-orm'
import type { Caller } from '#core/caller.ts'
import type { Unit } from '#core/deps.ts'
import type { Scope } from '#schemas/route.ts'
import { apiKeys, tenants } from '#schemas/tables/tenants.ts'

/** What the edge must know of a key to let its holder in; null when there is none by this public id. */
export async function lookUp(
  unit: Unit,
  publicId: string,
): Promise<{ caller: Caller; hash: string; expiresAt: number | null; revoked: boolean } | null> {
  const [row] = await unit.tx
    .select({ key: apiKeys, plan: tenants.plan })
    .from(apiKeys)
    .innerJoin(tenants, eq(tenants.id, apiKeys.tenantId))
    .where(eq(apiKeys.publicId, publicId))
  if (!row) return null
  const { key } = row
  return {
    caller: {
      tenantId: key.tenantId,
      keyId: key.id,
      scopes: key.scopes as Scope[],
      plan: row.plan,
      project: key.project,
      tags: key.tags,
    },
    hash: key.hash,
    expiresAt: key.expiresAt?.getTime() ?? null,
    revoked: key.revokedAt !== null,
  }
}

/** Public ids revoked since the moment; the edge re-reads this list every few seconds. */
export async function revokedSince(unit: Unit, sinceMs: number): Promise<string[]> {
  const rows = await unit.tx
    .select({ publicId: apiKeys.publicId })
    .from(apiKeys)
    .where(gt(apiKeys.revokedAt, new Date(sinceMs)))
  return rows.map(row => row.publicId)
}
