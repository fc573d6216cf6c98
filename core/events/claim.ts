/** Which events are new: their keys are claimed, and numbered in the order in which they came. */
import { sql } from 'drizzle-orm'
import type { Unit } from '#core/deps.ts'
import { columnOf } from '#core/sql-columns.ts'
import type { Event } from '#schemas/event.ts'
import type { TenantId } from '#schemas/ids.ts'
import { bare, type Logged } from './rows.ts'

export type Outcome = 'stored' | 'duplicate' | 'conflict'
export type Claimed = { fresh: Logged[]; outcomes: Outcome[] }

/**
 * From here to the end of its transaction a tenant's log is this one's alone. So numbers are committed in
 * their order, and a retraction and its target, however close they come, see each other.
 */
export async function lockLog({ tx }: Unit, tenantId: TenantId): Promise<void> {
  const name = `${tenantId} log`
  await tx.execute(sql`select pg_advisory_xact_lock(hashtextextended(${name}, 0))`)
}

/** Of several events with the same key the first claims it, unless another one did before. */
export async function claim(
  { tx }: Unit,
  tenantId: TenantId,
  day: string,
  events: readonly Event[],
): Promise<Claimed> {
  const first = new Map<string, Event>()
  for (const event of events) if (!first.has(event.key)) first.set(event.key, event)
  const column = columnOf([...first.values()])
  const { rows } = await tx.execute<{ key: string; number: string }>(sql`
    insert into event_keys (tenant_id, key, body_hash, day)
    select ${tenantId}, key, hash, ${day}::date
    from unnest(${column(e => e.key)}::uuid[], ${column(e => e.bodyHash)}::uuid[])
      as given (key, hash)
    on conflict do nothing returning key, number`)
  const fresh = rows.map(({ key, number }) => {
    const event = first.get(bare(key))!
    return { event, day, number: Number(number) }
  })
  const known = new Map(fresh.map(({ event }) => [event.key, event.bodyHash]))
  const taken = [...first.keys()].filter(key => !known.has(key))
  for (const [key, hash] of await hashesOf(tx, taken)) known.set(key, hash)
  const winners = new Set(fresh.map(({ event }) => event))
  const outcomes = events.map((event): Outcome => {
    if (winners.delete(event)) return 'stored'
    return known.get(event.key) === event.bodyHash ? 'duplicate' : 'conflict'
  })
  return { fresh, outcomes }
}

/** Those of the keys that have come. */
export async function known({ tx }: Unit, keys: string[]): Promise<Set<string>> {
  return new Set((await hashesOf(tx, keys)).keys())
}

async function hashesOf(tx: Unit['tx'], keys: string[]): Promise<Map<string, string>> {
  if (keys.length === 0) return new Map()
  const { rows } = await tx.execute<{ key: string; body_hash: string }>(sql`
    select key, body_hash from event_keys
    where key = any(${columnOf(keys)(key => key)}::uuid[])`)
  return new Map(rows.map(row => [bare(row.key), bare(row.body_hash)]))
}
