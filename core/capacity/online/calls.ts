/** Online requests that found no runner of a class: what they leave behind for who decides how many there are. */
import { desc, inArray, sql } from 'drizzle-orm'
import type { Tx, Unit } from '#core/deps.ts'
import { USUAL_CLASS } from '#schemas/cloud/pools.ts'
import { runnerCalls } from '#schemas/tables/runners.ts'
import { newest } from '../kept.ts'

/** Who sizes a pool does so every few seconds; after so much silence nobody does. */
const SIZED_MS = 60_000

/** What a request may wait for. */
export type Expected = {
  /** From asking for a runner of this class until it is there, on average; null: nobody starts any. */
  coldS: number | null
}

/** `hardware` null: any runner would have done. */
export async function call(
  { tx, clock }: Unit,
  { hardware }: { hardware: string | null },
): Promise<Expected> {
  const of = hardware ?? USUAL_CLASS
  const calledAt = new Date(clock.now())
  await tx
    .insert(runnerCalls)
    .values({ hardware: of, calledAt })
    .onConflictDoUpdate({
      target: runnerCalls.hardware,
      set: { calledAt: sql`greatest(excluded.called_at, runner_calls.called_at)` },
    })
  const [last] = await newest(tx, { hardware: of, max: 1 })
  const isSized = last !== undefined && last.untilAt > clock.now() - SIZED_MS
  return { coldS: isSized ? last.coldS : null }
}

/** Seconds since one last found none; null: none ever did. */
export async function lastCallS(
  tx: Tx,
  { classes, now }: { classes: readonly string[]; now: number },
): Promise<number | null> {
  const [row] = await tx
    .select()
    .from(runnerCalls)
    .where(inArray(runnerCalls.hardware, [...classes]))
    .orderBy(desc(runnerCalls.calledAt))
    .limit(1)
  return row ? Math.max(0, now - row.calledAt.getTime()) / 1000 : null
}
