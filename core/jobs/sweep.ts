/**
 * What must happen although no message says so: runs expire, and a step whose message was lost
 * (dead-lettered, or a queue restored from an older copy) is put on the queue again.
 */
import { and, eq, inArray, lt, sql } from 'drizzle-orm'
import type { Clock, Database } from '#core/deps.ts'
import { runs, steps } from '#schemas/tables/jobs.ts'
import { end, enqueue, find, OPEN } from './runs.ts'
import { windDown } from './wind-down.ts'

/** Longer than any message stays hidden, so that a healthy step is not queued twice for nothing. */
const SILENT_MS = 60_000
/** At the latest after this much silence a step is put on the queue again, however old its run is. */
const SILENT_MS_MAX = 60 * 60_000
const PER_SWEEP_MAX = 500

type Deps = { db: Database; clock: Clock }

export async function expireRuns(deps: Deps): Promise<number> {
  const due = await deps.db.system(tx =>
    tx
      .select({ tenantId: runs.tenantId, id: runs.id })
      .from(runs)
      .where(and(inArray(runs.state, [...OPEN]), lt(runs.expiresAt, nowOf(deps))))
      .limit(PER_SWEEP_MAX),
  )
  const error = {
    code: 'deadline_exceeded',
    detail: 'The job was not done before it expired.',
  }
  for (const { tenantId, id } of due) {
    await deps.db.tenant(tenantId, async tx => {
      const unit = { tx, clock: deps.clock }
      const run = await find(unit, id, true)
      // Somebody has wound it down meanwhile, which takes time of its own.
      if (run.expiresAt === null || run.expiresAt >= nowOf(deps)) return
      if (run.kind === 'batch') await windDown(unit, run, 'expired')
      else await end(unit, run, 'expired', error)
    })
  }
  return due.length
}

/**
 * Steps behind many others wait in silence too. The silence that is suspicious is half the run's age,
 * so a step that waits for a day gets a few dozen messages and not one a minute.
 */
export async function requeueSilentSteps(deps: Deps): Promise<number> {
  const now = nowOf(deps)
  const at = sql`${now}::timestamptz`
  const [least, most] = [SILENT_MS, SILENT_MS_MAX].map(ms => sql`${`${ms} ms`}::interval`)
  const silence = sql`least(greatest((${at} - ${runs.createdAt}) / 2, ${least}), ${most})`
  const silent = await deps.db.system(tx =>
    tx
      .select({ tenantId: steps.tenantId, id: steps.id, spec: runs.spec })
      .from(steps)
      .innerJoin(runs, and(eq(runs.tenantId, steps.tenantId), eq(runs.id, steps.runId)))
      .where(
        and(
          inArray(steps.state, ['queued', 'leased']),
          lt(steps.updatedAt, new Date(now.getTime() - SILENT_MS)),
          sql`greatest(${steps.leaseUntil}, ${steps.updatedAt}) < ${at} - ${silence}`,
        ),
      )
      .limit(PER_SWEEP_MAX),
  )
  for (const { id, ...run } of silent) {
    await deps.db.tenant(run.tenantId, async tx => {
      await tx.update(steps).set({ updatedAt: now }).where(eq(steps.id, id))
      await enqueue({ tx, clock: deps.clock }, run, [id])
    })
  }
  return silent.length
}

function nowOf({ clock }: Deps): Date {
  return new Date(clock.now())
}
