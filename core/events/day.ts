/** The tables of a day: made before its first event, by whoever comes first. */
import { sql } from 'drizzle-orm'
import type { Clock, Database } from '#core/deps.ts'

const prepared = new WeakMap<Database, Set<string>>()

/**
 * Today by the clock, as `2026-01-31`, with its tables there. In a transaction of its own: making a table
 * waits for everybody who is writing to the log, and one that was rolled back would be believed to be there.
 */
export async function prepareDay({ db, clock }: { db: Database; clock: Clock }): Promise<string> {
  const day = new Date(clock.now()).toISOString().slice(0, 10)
  const days = prepared.get(db) ?? new Set()
  if (days.has(day)) return day
  await db.system(tx => tx.execute(sql`select galley_event_day(${day}::date)`))
  prepared.set(db, days.add(day))
  return day
}
