/** Secrets of hook sources, opened for who verifies: the edge asks by the address alone, whosever it is. */
import { eq } from 'drizzle-orm'
import type { Caller } from '#core/caller.ts'
import type { Unit } from '#core/deps.ts'
import type { Vault } from '#core/internal/vault.ts'
import type { HookSource } from '#schemas/hook.ts'
import type { HookId, KeyId } from '#schemas/ids.ts'
import { hookSources } from '#schemas/tables/hooks.ts'
import { tenants } from '#schemas/tables/tenants.ts'

type Row = typeof hookSources.$inferSelect

/** What the edge needs to take webhooks of a source: on whose behalf, by which secrets, into which events. */
export type OpenedSource = { caller: Caller; source: HookSource; secrets: string[] }

/** For the platform's own role, across tenants; null when nobody has this address. */
export async function openedSource(
  { tx }: Unit,
  vault: Vault,
  id: string,
): Promise<OpenedSource | null> {
  const [found] = await tx
    .select({ row: hookSources, plan: tenants.plan })
    .from(hookSources)
    .innerJoin(tenants, eq(tenants.id, hookSources.tenantId))
    .where(eq(hookSources.id, id as HookId))
  if (!found) return null
  const { row, plan } = found
  const caller: Caller = {
    tenantId: row.tenantId,
    // No key asks here: the source stands for it.
    keyId: row.id as string as KeyId,
    scopes: [],
    plan,
    project: null,
    tags: {},
  }
  const secrets = Object.values(await openedSecrets(vault, row))
  return { caller, source: row.definition, secrets }
}

/** By name. */
export async function openedSecrets(vault: Vault, row: Row): Promise<Record<string, string>> {
  const opened = row.secrets.map(
    async ({ name, sealed }) => [name, await vault.open(sealed, placeOf(row, name))] as const,
  )
  return Object.fromEntries(await Promise.all(opened))
}

/** Where a secret is kept. */
export function placeOf({ tenantId, id }: Pick<Row, 'tenantId' | 'id'>, name: string): string {
  return `hook ${tenantId} ${id} ${name}`
}
