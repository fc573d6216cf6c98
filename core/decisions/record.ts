/** Decisions as rows: the snapshot comes from the object, the outcome from the edge, in any order. */
import { sql } from 'drizzle-orm'
import type { Unit } from '#core/deps.ts'
import type { Snapshot } from '#schemas/decision.ts'
import type { TenantId } from '#schemas/ids.ts'

/** May be told twice: the first snapshot stays. */
export async function recordSnapshots(
  unit: Unit,
  tenantId: TenantId,
  decided: readonly Snapshot[],
): Promise<void> {
  const rows = decided.map(snapshot => ({
    event_key: snapshot.event.key,
    endpoint: snapshot.endpoint.name,
    endpoint_version: snapshot.endpoint.version,
    at: snapshot.reads[0]!.at,
    snapshot,
  }))
  await unit.tx.execute(sql`
    insert into decisions (tenant_id, event_key, endpoint, endpoint_version, at, snapshot)
    select ${tenantId}, event_key, endpoint, endpoint_version, at, snapshot
    from jsonb_to_recordset(${JSON.stringify(rows)}::jsonb) as given
      (event_key uuid, endpoint text, endpoint_version int, at bigint, snapshot jsonb)
    on conflict (tenant_id, endpoint, event_key) do update
      set snapshot = coalesce(decisions.snapshot, excluded.snapshot)`)
}
