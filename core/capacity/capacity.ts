/**
 * Capacity: how many runners of a class there should be, decided from rows and written down with the reason. Who
 * runs them says which there are and what they cost; nobody is asked how long a queue is.
 */
import { and, desc, eq, gt, lt } from 'drizzle-orm'
import type { Clock, Database, Log, Tx } from '#core/deps.ts'
import { capacityDecisions } from '#schemas/tables/capacity.ts'
import { type Decision, decide } from './policy.ts'
import { readWork } from './rows.ts'
import type { Bounds, ClassNow, Need, RunnerNow } from './snapshot.ts'

/** How far back needs are read. */
const PAST_MS = 2 * 3_600_000
const KEPT_MS = 30 * 86_400_000

/** What is known by who runs the machines. */
export type Fleet = {
  hardware: string
  runners: Omit<RunnerNow, 'idleS'>[]
  /** Seconds from asking for a runner until it took work, the newest ones; never empty. */
  coldStartsS: number[]
  markets: ClassNow['markets']
  bounds: Bounds
}

/**
 * Decides and keeps the decision. Whoever decides for a class at the same time as another waits for it, so that
 * the past has no two rows for one time.
 */
export function decideNow(
  deps: { db: Database; clock: Clock; log: Log },
  fleet: Fleet,
): Promise<Decision> {
  return deps.db.system(async tx => {
    const now = deps.clock.now()
    const work = await readWork(tx, { hardware: fleet.hardware, now })
    const working = new Set(work.leases.map(({ runner }) => runner))
    const decision = decide({
      ...work,
      ...fleet,
      runners: fleet.runners.map(runner => ({
        ...runner,
        idleS: working.has(runner.name) ? 0 : runner.ageS,
      })),
      needed: await past(tx, fleet.hardware, now),
    })
    if (await keep(tx, decision, new Date(now))) {
      const { hardware, desired, need, reasons } = decision
      deps.log.info('capacity.decided', { hardware, ...desired, needed: need.runners, reasons })
    }
    return decision
  })
}

async function past(tx: Tx, hardware: string, now: number): Promise<Need[]> {
  const rows = await tx
    .select()
    .from(capacityDecisions)
    .where(
      and(
        eq(capacityDecisions.hardware, hardware),
        gt(capacityDecisions.untilAt, new Date(now - PAST_MS)),
      ),
    )
    .orderBy(desc(capacityDecisions.id))
  const agoS = (at: Date) => Math.max(0, now - at.getTime()) / 1000
  return rows.map(({ sinceAt, untilAt, needed, started }) => ({
    sinceS: agoS(sinceAt),
    untilS: agoS(untilAt),
    runners: needed,
    started,
  }))
}

/** Whether it is another one than the last. */
async function keep(tx: Tx, { hardware, desired, need, reasons }: Decision, at: Date) {
  const [last] = await tx
    .select()
    .from(capacityDecisions)
    .where(eq(capacityDecisions.hardware, hardware))
    .orderBy(desc(capacityDecisions.id))
    .limit(1)
    .for('update')
  if (last) {
    await tx.update(capacityDecisions).set({ untilAt: at }).where(eq(capacityDecisions.id, last.id))
  }
  const { runners: needed, started } = need
  const { spot, on_demand: onDemand } = desired
  const row = { needed, started, spot, onDemand }
  const isSame =
    last !== undefined &&
    Object.entries(row).every(([name, value]) => last[name as keyof typeof row] === value)
  if (isSame) return false
  await tx.insert(capacityDecisions).values({ hardware, sinceAt: at, untilAt: at, ...row, reasons })
  await tx
    .delete(capacityDecisions)
    .where(lt(capacityDecisions.untilAt, new Date(at.getTime() - KEPT_MS)))
  return true
}
