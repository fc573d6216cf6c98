/** For how long the objects have kept the events of a type. */
import { asc, eq } from 'drizzle-orm'
import type { Unit } from '#core/deps.ts'
import { eventTypes } from '#schemas/tables/events.ts'

const DAY_MS = 86_400_000
/** Whatever a type says: repetitions are told apart for so long. */
const DAYS_MIN = 32

/**
 * The moment from which on every event of the type that became known is in the objects, in Unix milliseconds.
 * A version with more online_days brings nothing back that was forgotten before it.
 */
export async function keptSince({ tx }: Pick<Unit, 'tx'>, type: string): Promise<number> {
  const versions = await tx
    .select({ definition: eventTypes.definition, createdAt: eventTypes.createdAt })
    .from(eventTypes)
    .where(eq(eventTypes.type, type))
    .orderBy(asc(eventTypes.version))
  const raises = versions.slice(1).flatMap(({ definition, createdAt }, i) => {
    const days = versions[i]!.definition.online_days
    if (definition.online_days === days) return []
    return [createdAt.getTime() - Math.max(days, DAYS_MIN) * DAY_MS]
  })
  const first = versions[0]?.createdAt.getTime() ?? 0
  // Before its first version there was nothing to forget.
  return Math.max(0, ...raises.filter(since => since > first))
}
