/**
 * Which events are new: their keys are claimed, and whoever else is claiming one of them at this moment
 * is waited for. A retraction holds the key of its target meanwhile, so that the two never miss each other.
 */
import { sql } from 'drizzle-orm'
import type { Unit } from '#core/deps.ts'
import type { Event } from '#schemas/event.ts'
import type { TenantId } from '#schemas/ids.ts'
import { bare, columnOf } from './rows.ts'

export type Found = {
  /** Keys that had been claimed, with the hash of the body that they stand for. */
  before: Map<string, string>
  /** Targets of retractions that have not come. Until this transaction ends they cannot. */
  absent: Set<string>
}

/** Of several events with the same key the first claims it. */
export async function claim(
  { tx }: Unit,
  tenantId: TenantId,
  day: string,
  events: readonly Event[],
): Promise<Found> {
  const hashes = new Map<string, string>()
  for (const { key, bodyHash } of events) if (!hashes.has(key)) hashes.set(key, bodyHash)
  const targets = new Set<string>()
  for (const { retracts } of events) {
    if (retracts === null || hashes.has(retracts)) continue
    targets.add(retracts)
  }
  for (const target of targets) hashes.set(target, target)
  // In one order everywhere: two batches that share keys would otherwise wait for each other.
  const sorted = [...hashes].sort(([a], [b]) => (a < b ? -1 : 1))
  const column = columnOf(sorted)
  const { rows } = await tx.execute<{ key: string }>(sql`
    insert into event_keys (tenant_id, key, body_hash, day)
    select ${tenantId}, key, hash, ${day}::date
    from unnest(${column(([key]) => key)}::uuid[], ${column(([, hash]) => hash)}::uuid[])
      as given (key, hash)
    on conflict do nothing returning key`)
  const claimed = new Set(rows.map(({ key }) => bare(key)))
  const absent = new Set([...targets].filter(key => claimed.has(key)))
  if (absent.size > 0) {
    // Nobody has seen it. Whoever wants to claim it still waits until this transaction has ended.
    const held = columnOf([...absent])(key => key)
    await tx.execute(sql`delete from event_keys where key = any(${held}::uuid[])`)
  }
  const taken = sorted.filter(([key]) => !claimed.has(key))
  if (taken.length === 0) return { before: new Map(), absent }
  const { rows: found } = await tx.execute<{ key: string; body_hash: string }>(sql`
    select key, body_hash from event_keys
    where key = any(${columnOf(taken)(([key]) => key)}::uuid[])`)
  return { before: new Map(found.map(row => [bare(row.key), bare(row.body_hash)])), absent }
}
