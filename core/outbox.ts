/** Messages promised by a transaction, and the relay that keeps the promise. */
import { and, asc, inArray } from 'drizzle-orm'
import type { Database, Queue, Unit } from '#core/deps.ts'
import { undoneOf } from '#core/error.ts'
import type { TenantId } from '#schemas/ids.ts'
import { QUEUES, type QueueName } from '#schemas/queues.ts'
import { outbox } from '#schemas/tables/jobs.ts'

/** Sent in one transaction. */
export const RELAY_BATCH = 500
const NAMES = Object.keys(QUEUES) as QueueName[]

export type Promised = { queue: QueueName; body: Record<string, unknown>; delayS?: number }

/** The longest pause before what met a runner of another class is shown to one again. */
const ELSEWHERE_S_MAX = 60

/** Seconds until then: an eighth of what it has waited for so far, because the next one may be of another class too. */
export function elsewhereS(waitedMs: number): number {
  return Math.min(ELSEWHERE_S_MAX, Math.max(1, Math.round(waitedMs / 8_000)))
}

/**
 * Writes messages in the caller's transaction: they are sent if, and only if, it commits. None of them waits
 * for another: who needs an order promises the second when the first is done.
 */
export async function promise(unit: Unit, tenantId: TenantId, messages: Promised[]): Promise<void> {
  if (messages.length === 0) return
  const { trace } = unit
  const rows = await unit.tx
    .insert(outbox)
    .values(
      messages.map(({ body, ...message }) => ({
        tenantId,
        ...message,
        body: trace ? { ...body, trace } : body,
      })),
    )
    .returning({ id: outbox.id })
  unit.promised?.push(...rows.map(({ id }) => id))
}

/**
 * Sends up to 500 messages, the oldest first, and returns how many; of `only` these, where they are named. What
 * another relay is sending now is left to it. A queue that refuses its own holds up no other: throws what it
 * said when nothing at all could be sent. A crash between send and delete sends twice, which every
 * consumer bears; it never sends less.
 */
export async function relay(
  deps: { db: Database; queue: Queue },
  only?: readonly bigint[],
): Promise<number> {
  const refused = new Map<QueueName, unknown>()
  let sent = 0
  for (let more = true; more; ) {
    const names = NAMES.filter(name => !refused.has(name))
    const found = await relayOf(deps, names, only)
    sent += found.sent
    for (const [name, error] of found.refused) refused.set(name, error)
    // Its backlog may be all that was looked at.
    more = found.refused.size > 0 && refused.size < NAMES.length
  }
  const [error] = refused.values()
  if (sent === 0 && refused.size > 0) throw error
  return sent
}

async function relayOf(
  deps: { db: Database; queue: Queue },
  names: QueueName[],
  only?: readonly bigint[],
): Promise<{ sent: number; refused: Map<QueueName, unknown> }> {
  return deps.db.system(async tx => {
    const rows = await tx
      .select()
      .from(outbox)
      // A newer version of the code may promise on queues that this one does not know: not ours to lose.
      .where(and(inArray(outbox.queue, names), only && inArray(outbox.id, [...only])))
      .orderBy(asc(outbox.id))
      .limit(RELAY_BATCH)
      .for('update', { skipLocked: true })
    const refused = new Map<QueueName, unknown>()
    const sent: bigint[] = []
    for (const queue of names) {
      const own = rows.filter(row => row.queue === queue)
      const messages = own.map(row => ({
        body: JSON.stringify({ tenantId: row.tenantId, ...(row.body as object) }),
        delayS: row.delayS,
      }))
      let undone: ReadonlySet<number> | undefined
      try {
        if (messages.length > 0) await deps.queue.send(queue, messages)
      } catch (error) {
        refused.set(queue, error)
        undone = undoneOf(error, own.length)
      }
      sent.push(...own.filter((_, at) => !undone?.has(at)).map(row => row.id))
    }
    if (sent.length > 0) await tx.delete(outbox).where(inArray(outbox.id, sent))
    return { sent: sent.length, refused }
  })
}
