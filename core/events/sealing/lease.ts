/** Who changes the segments of a tenant's log: one at a time, and for a while only, since it may die. */
import { and, eq, sql } from 'drizzle-orm'
import type { Clock, Database, Unit } from '#core/deps.ts'
import { AppError } from '#core/error.ts'
import type { TenantId } from '#schemas/ids.ts'
import { eventSeals } from '#schemas/tables/segments.ts'

/** Longer than any step between two renewals takes. */
const HELD_MS = 300_000

export type Held = {
  /** Goes on holding it. Throws `conflict` when somebody else has it by now. */
  renew(): Promise<void>
  /** To be part of the transaction that changes the manifest; throws like renew. */
  mustHold(unit: Unit): Promise<void>
}

/**
 * The number up to which the log is sealed. Until the transaction ends it stays so, and the manifest too: who
 * reads both, and the rows behind them, has read one moment, however many statements that takes.
 */
export async function sealedUpTo({ tx }: Pick<Unit, 'tx'>): Promise<number> {
  // Of a log that was never sealed there is no row yet, and so nothing that could be held.
  await tx.execute(sql`insert into event_seals (tenant_id)
    values (current_setting('galley.tenant')) on conflict do nothing`)
  const { rows } = await tx.execute<{ number: string }>(
    sql`select number from event_seals for share`,
  )
  return Number(rows[0]!.number)
}

/** Null, and nothing is done, when another one holds it. */
export async function holding<T>(
  { db, clock }: { db: Database; clock: Clock },
  tenantId: TenantId,
  work: (held: Held) => Promise<T>,
): Promise<T | null> {
  const holder = crypto.randomUUID()
  const until = () => new Date(clock.now() + HELD_MS)
  const taken = await db.tenant(tenantId, async tx => {
    const now = new Date(clock.now()).toISOString()
    const free = sql`${eventSeals.heldUntil} is null or ${eventSeals.heldUntil} < ${now}::timestamptz`
    const rows = await tx
      .insert(eventSeals)
      .values({ tenantId, holder, heldUntil: until() })
      .onConflictDoUpdate({
        target: eventSeals.tenantId,
        set: { holder, heldUntil: until() },
        setWhere: free,
      })
      .returning({ number: eventSeals.number })
    return rows.length > 0
  })
  if (!taken) return null
  const extended = async (tx: Unit['tx'], heldUntil: Date | null) => {
    const rows = await tx
      .update(eventSeals)
      .set({ heldUntil })
      .where(and(eq(eventSeals.tenantId, tenantId), eq(eventSeals.holder, holder)))
      .returning({ number: eventSeals.number })
    if (rows.length > 0) return
    throw new AppError('conflict', {
      internal: 'the segments are held by another',
      retryable: true,
    })
  }
  const mustHold = ({ tx }: Unit) => extended(tx, until())
  try {
    return await work({ mustHold, renew: () => db.tenant(tenantId, tx => extended(tx, until())) })
  } finally {
    // Who dies before is waited for.
    await db.tenant(tenantId, tx => extended(tx, null)).catch(() => {})
  }
}
