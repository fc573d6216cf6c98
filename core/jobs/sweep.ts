/**
 * What must happen although no message says so: runs expire, and a step whose message was lost
 * (dead-lettered, or a queue restored from an older copy) is put on the queue again.
 */
import { and, eq, inArray, lt, sql } from 'drizzle-orm'
import type { Clock, Database } from '#core/deps.ts'
import type { StepId, TenantId } from '#schemas/ids.ts'
import { runs, steps } from '#schemas/tables/jobs.ts'
import * as jobs from './jobs.ts'

/** Longer than any message stays hidden, so that a healthy step is not queued twice for nothing. */
const SILENT_MS = 60_000
const PER_SWEEP_MAX = 500

export async function expireRuns(deps: { db: Database; clock: Clock }): Promise<number> {
  const due = await deps.db.system(tx =>
    tx
      .select({ tenantId: runs.tenantId, id: runs.id })
      .from(runs)
      .where(and(inArray(runs.state, ['queued', 'running']), lt(runs.expiresAt, now(deps))))
      .limit(PER_SWEEP_MAX),
  )
  for (const { tenantId, id } of due) {
    await deps.db.tenant(tenantId, async tx => {
      const unit = { tx, clock: deps.clock }
      await jobs.end(unit, await jobs.find(unit, id, true), 'expired', {
        code: 'deadline_exceeded',
        detail: 'The job was not done before it expired.',
      })
    })
  }
  return due.length
}

export async function requeueSilentSteps(deps: { db: Database; clock: Clock }): Promise<number> {
  const before = new Date(deps.clock.now() - SILENT_MS)
  const silent = await deps.db.system(tx =>
    tx
      .select({ tenantId: steps.tenantId, id: steps.id })
      .from(steps)
      .where(
        and(
          inArray(steps.state, ['queued', 'leased']),
          lt(steps.updatedAt, before),
          sql`coalesce(${steps.leaseUntil}, ${steps.updatedAt}) < ${before}`,
        ),
      )
      .limit(PER_SWEEP_MAX),
  )
  for (const { tenantId, id } of silent) await requeue(deps, tenantId, id)
  return silent.length
}

async function requeue(deps: { db: Database; clock: Clock }, tenantId: TenantId, id: StepId) {
  await deps.db.tenant(tenantId, async tx => {
    const unit = { tx, clock: deps.clock }
    await tx
      .update(steps)
      .set({ updatedAt: now(deps) })
      .where(eq(steps.id, id))
    await jobs.enqueue(unit, tenantId, [id])
  })
}

function now(deps: { clock: Clock }): Date {
  return new Date(deps.clock.now())
}
