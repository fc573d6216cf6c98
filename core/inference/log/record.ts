/** Taking in what runners have logged: once each, and only of models whose tenant keeps it still. */
import { inArray } from 'drizzle-orm'
import type { Database } from '#core/deps.ts'
import type { KeyId, TenantId } from '#schemas/ids.ts'
import { inferenceLog } from '#schemas/tables/inference-log.ts'
import { modelServing } from '#schemas/tables/serving.ts'

/** One request as a runner tells of it. `at`: Unix milliseconds; tensors are JSON texts. */
export type Logged = {
  tenantId: TenantId
  id: string
  model: string
  version: number
  digest: string
  at: number
  keyId: KeyId
  receipt: string
  features: string | null
  subjectEntity: string | null
  subject: string | null
  rows: number
  inputs: string
  outputs: string
}

/** Told twice is kept once. Returns how many are kept now that were not. */
export async function record(deps: { db: Database }, all: Logged[]): Promise<number> {
  let kept = 0
  for (const [tenantId, some] of Map.groupBy(all, each => each.tenantId)) {
    kept += await deps.db.tenant(tenantId, async tx => {
      const names = [...new Set(some.map(({ model }) => model))]
      const settings = await tx
        .select({ model: modelServing.model, log: modelServing.inferenceLog })
        .from(modelServing)
        .where(inArray(modelServing.model, names))
      const days = new Map(settings.map(({ model, log }) => [model, log?.retention_days]))
      const rows = some.flatMap(({ at, ...each }) => {
        const retentionDays = days.get(each.model)
        return retentionDays === undefined ? [] : [{ ...each, at: new Date(at), retentionDays }]
      })
      if (rows.length === 0) return 0
      const stored = await tx
        .insert(inferenceLog)
        .values(rows)
        .onConflictDoNothing()
        .returning({ id: inferenceLog.id })
      return stored.length
    })
  }
  return kept
}
