/** A subject's part of the inference log, gone: its rows, and every file in which it stands made anew without it. */
import { and, eq, sql } from 'drizzle-orm'
import type { Held } from '#core/events/events.ts'
import type { TenantId } from '#schemas/ids.ts'
import { inferenceLog, inferenceSegments } from '#schemas/tables/inference-log.ts'
import type { Subject } from './files.ts'
import { clearAway, publish, type SealDeps, store } from './seal.ts'

/** Under the lease of the tenant's log; may be asked again. */
export async function erase(
  deps: SealDeps,
  tenantId: TenantId,
  who: Subject,
  held: Held,
): Promise<void> {
  const { db, clock } = deps
  await db.tenant(tenantId, async tx => {
    await held.mustHold({ tx, clock })
    const its = and(
      eq(inferenceLog.subjectEntity, who.entity),
      eq(inferenceLog.subject, who.entityKey),
    )
    await tx.delete(inferenceLog).where(its)
  })
  await clearAway(deps, tenantId, held)
  const some = await db.tenant(tenantId, tx =>
    tx
      .select()
      .from(inferenceSegments)
      .where(sql`${who.entity} = any(${inferenceSegments.subjectEntities})`),
  )
  for (const segment of some) await eraseIn(deps, { tenantId, who, held }, segment)
  await clearAway(deps, tenantId, held)
}

async function eraseIn(
  deps: SealDeps,
  { tenantId, who, held }: { tenantId: TenantId; who: Subject; held: Held },
  segment: typeof inferenceSegments.$inferSelect,
): Promise<void> {
  const files = await deps.inferenceFiles.open()
  try {
    await held.renew()
    const path = await deps.blobs.localFile(segment.blob)
    const file = await files.without(path, who)
    if (!file) return
    const { model, hour, subjectEntities, expiresAt } = segment
    const about = { model, hour, subjectEntities, expiresAt }
    const id = file.rows > 0 ? await store(deps, tenantId, held, { ...about, file }) : null
    await deps.db.tenant(tenantId, async tx => {
      const unit = { tx, clock: deps.clock }
      if (id) await publish(unit, held, id)
      else await held.mustHold(unit)
      const its = eq(inferenceSegments.id, segment.id)
      await tx.update(inferenceSegments).set({ state: 'leaving' }).where(its)
    })
  } finally {
    await files.close()
  }
}
