/** Ending a run before its time without losing what it has done. */
import { and, eq, inArray, sql } from 'drizzle-orm'
import type { Unit } from '#core/deps.ts'
import { type BatchFound, runs, steps } from '#schemas/tables/jobs.ts'
import { end, enqueue, OPEN, type Run } from './runs.ts'

/** For the last step, which joins what there is. */
const GRACE_MS = 3_600_000

/**
 * Gives up the shards that are not done and lets the last step join those that are; the run ends with
 * it. One that has nothing yet, or had its time for that, ends at once. False: there was nothing to do, for
 * it had ended, or is being wound down.
 */
export async function windDown(unit: Unit, run: Run, as: 'canceled' | 'expired'): Promise<boolean> {
  if (!OPEN.includes(run.state as (typeof OPEN)[number])) return false
  const [merge] = await unit.tx
    .select()
    .from(steps)
    .where(and(eq(steps.runId, run.id), eq(steps.kind, 'merge')))
  const now = unit.clock.now()
  const found = run.lineage as BatchFound | null
  if (found?.windingDown && as === 'canceled') return false
  if (!merge || found?.windingDown) {
    return (await end(unit, run, found?.windingDown?.as ?? as, null)) !== null
  }
  const open = and(
    eq(steps.runId, run.id),
    eq(steps.kind, 'shard'),
    inArray(steps.state, ['queued', 'leased']),
  )
  const stopped = { state: 'canceled' as const, leaseUntil: null, updatedAt: new Date(now) }
  await unit.tx
    .update(steps)
    .set({ ...stopped, epoch: sql`${steps.epoch} + 1` })
    .where(open)
  await unit.tx
    .update(runs)
    .set({
      lineage: { ...found, windingDown: { as, at: now } },
      stepsLeft: 0,
      expiresAt: new Date(now + GRACE_MS),
    })
    .where(eq(runs.id, run.id))
  if (merge.state !== 'waiting') return true
  await unit.tx
    .update(steps)
    .set({ state: 'queued', updatedAt: new Date(now) })
    .where(eq(steps.id, merge.id))
  await enqueue(unit, run, [merge.id])
  return true
}
