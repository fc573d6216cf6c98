/** Events between the code and the database, which writes their keys with dashes. */
import { sql } from 'drizzle-orm'
import type { Unit } from '#core/deps.ts'
import { columnOf } from '#core/sql-columns.ts'
import type { Event } from '#schemas/event.ts'
import { events } from '#schemas/tables/events.ts'

/** An event with its place in the log. */
export type Logged = { event: Event; day: string; number: number }

/** Keys are 32 hex digits everywhere but in the database, which writes them with dashes. */
export function bare(uuid: string): string {
  return uuid.replaceAll('-', '')
}

/** Of the log, in its order. */
export async function loggedEvents(
  { tx }: Pick<Unit, 'tx'>,
  keys: readonly string[],
): Promise<Logged[]> {
  if (keys.length === 0) return []
  const found = sql`(select day, number from event_keys
    where key = any(${columnOf(keys)(key => key)}::uuid[]))`
  const rows = await tx
    .select()
    .from(events)
    .where(sql`(${events.day}, ${events.number}) in ${found}`)
    .orderBy(events.number)
  return rows.map(({ tenantId: _, number, day, key, bodyHash, retracts, ...rest }) => ({
    day,
    number,
    event: {
      ...rest,
      key: bare(key),
      bodyHash: bare(bodyHash),
      retracts: retracts === null ? null : bare(retracts),
    },
  }))
}
