/**
 * Which part of the log is sealed next. An event belongs to the hour that had begun in the log when it was
 * taken: an hour begins with the first event, by number, that the edge received in it. So an hour is a run
 * of numbers, and what comes later, however late, is in no hour that has ended.
 */
import { sql } from 'drizzle-orm'
import type { Unit } from '#core/deps.ts'

export const HOUR_MS = 3_600_000
/** For messages that are on their way: what comes after it makes a further segment of the hour. */
const GRACE_MS = 60_000
/** Of one segment; an hour with more has several. */
const EVENTS_MAX = 500_000
const DUE_MAX = 10_000

export type SealPlan = {
  /** Sealed are numbers after this one up to and with the other. */
  after: number
  to: number
  /** Unix milliseconds. */
  hour: number
  /** The hour that has begun when these are sealed. */
  nextHour: number
  /** Further events: retractions that had to wait. */
  due: number[]
}

/** Null: there is nothing to be sealed yet. `waits`: an event of it has no place yet. */
export async function nextPlan(
  unit: Unit,
  eventsMax = EVENTS_MAX,
): Promise<SealPlan | { waits: true } | null> {
  const now = unit.clock.now()
  const { tx } = unit
  const { rows } = await tx.execute<{ number: string; hour: Date | string | null }>(
    sql`select number, hour from event_seals`,
  )
  const after = Number(rows[0]?.number ?? 0)
  const begun = rows[0]?.hour ? new Date(rows[0].hour).getTime() : 0
  const first = await tx.execute<{ received_at: string }>(
    sql`select received_at from events where number > ${after} order by number limit 1`,
  )
  const received = first.rows[0] ? Number(first.rows[0].received_at) / 1_000 : null
  if (received === null) {
    const due = await dueNumbers(unit, after)
    return due.length > 0 ? { after, to: after, hour: begun, nextHour: begun, due } : null
  }
  const hour = Math.max(begun, hourOf(Math.min(received, now)))
  const end = hour + HOUR_MS
  if (end + GRACE_MS > now) return null
  const cut = await tx.execute<{ next: string | null; to: string }>(sql`
    with ahead as (
      select number, received_at from events where number > ${after}
      order by number limit ${eventsMax}),
    next as (
      select number, received_at from ahead
      where received_at >= ${end * 1_000} and received_at <= ${now * 1_000}
      order by number limit 1)
    select (select received_at from next) as next,
      (select max(number) from ahead
        where number < coalesce((select number from next), number + 1)) as to`)
  const { next, to } = cut.rows[0]!
  const nextHour = next === null ? hour : hourOf(Number(next) / 1_000)
  // The event that begins the next hour may be the very first, when the clock was set back.
  const last = to === null ? after : Number(to)
  if (await isWaiting(unit, last)) return { waits: true }
  return { after, to: last, hour, nextHour, due: await dueNumbers(unit, last) }
}

/**
 * Of retractions that were placed late or are given up, and are not being placed just now. Those behind the
 * end would be met again there, since nothing tells them from the others once they are sealed.
 */
async function dueNumbers({ tx }: Unit, to: number): Promise<number[]> {
  const { rows } = await tx.execute<{ number: string }>(sql`
    select k.number from event_retractions as r join event_keys as k on k.key = r.key
    where r.due and k.number <= ${to}
      and not exists (select from event_batches as b where r.key = any(b.keys))
    order by k.number limit ${DUE_MAX}`)
  return rows.map(({ number }) => Number(number))
}

/** Whether an event up to this number has no place yet. */
export async function isWaiting({ tx }: Unit, to: number): Promise<boolean> {
  const { rows } = await tx.execute(sql`
    select 1 from event_batches as b
    where exists (select from event_keys as k where k.key = any(b.keys) and k.number <= ${to})
    limit 1`)
  return rows.length > 0
}

function hourOf(ms: number): number {
  return Math.floor(ms / HOUR_MS) * HOUR_MS
}
