/**
 * Capacity: how many runners of a class there should be, decided from rows and written down with the reason. Who
 * runs them says which there are and what they cost; nobody is asked how long a queue is.
 */
import { sql } from 'drizzle-orm'
import type { Clock, Database, Log } from '#core/deps.ts'
import { keep, past } from './kept.ts'
import { lastCallS } from './online/calls.ts'
import { type PoolRunner, withLoad } from './online/load.ts'
import { type Decision, decide } from './policy.ts'
import { readWork } from './rows.ts'
import type { Bounds, ClassNow } from './snapshot.ts'
import { mean } from './spread.ts'

export * as announced from './announced.ts'
export { type Kept, newest, newestOfEach } from './kept.ts'
export { call } from './online/calls.ts'

/** What is known by who runs the machines. */
export type Fleet = {
  hardware: string
  /** Whose work its runners do, where that is not their class alone. */
  classes?: string[]
  runners: PoolRunner[]
  /** Seconds from asking for a runner until it took work, the newest ones; never empty. */
  coldStartsS: number[]
  markets: ClassNow['markets']
  bounds: Bounds
}

/** Who runs the runners of one class: the pool of this machine, or a service of a cloud. */
export type RunnerPool = {
  /** Which runners there are now, those included that were asked for and are not up yet. */
  fleet(): Promise<Fleet>
  /**
   * Does what was decided for the fleet that was told last. Resolves when it is under way: runners come up later,
   * and those that go drain first. Throws a retryable `unavailable` where another try may pass.
   */
  apply(decision: Pick<Decision, 'desired' | 'drain'>): Promise<void>
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
    await tx.execute(sql`select pg_advisory_xact_lock(hashtext(${`capacity ${fleet.hardware}`}))`)
    const now = deps.clock.now()
    const { classes = [fleet.hardware] } = fleet
    const { tenants, ...work } = await readWork(tx, { classes, now })
    const working = new Set(work.leases.map(({ runner }) => runner))
    const { hardware, coldStartsS } = fleet
    const decision = decide({
      ...work,
      ...fleet,
      bounds: { ...fleet.bounds, tenants: { ...tenants, ...fleet.bounds.tenants } },
      runners: await withLoad(tx, fleet.runners, { working, now }),
      unmetS: await lastCallS(tx, { classes, now }),
      needed: await past(tx, hardware, now),
    })
    if (await keep(tx, decision, { at: new Date(now), coldS: mean(coldStartsS) })) {
      const { desired, need, reasons } = decision
      deps.log.info('capacity.decided', { hardware, ...desired, needed: need.runners, reasons })
    }
    return decision
  })
}
