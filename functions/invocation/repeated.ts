/** Work that is due more often than EventBridge can call: it is done again until the invocation is nearly over. */
import { setTimeout as sleep } from 'node:timers/promises'
import { inFull } from '#core/error.ts'
import type { Schedule } from '#schemas/schedules.ts'
import type { Base, Invocation } from './base.ts'

/** Kept for the last round to end in. */
const ENDING_MS = 4_000

/** Returns how many rounds there were. Throws when the last one failed, so that somebody is called. */
export async function repeated(
  { log }: Pick<Base, 'log'>,
  { everyS }: Schedule,
  invocation: Invocation,
  work: () => Promise<void>,
): Promise<{ rounds: number }> {
  for (let rounds = 1; ; rounds++) {
    const isLast = invocation.getRemainingTimeInMillis() < everyS * 1_000 + ENDING_MS
    try {
      await work()
    } catch (error) {
      if (isLast) throw error
      log.error('functions.round_failed', { round: rounds, error: inFull(error) })
    }
    if (isLast) return { rounds }
    await sleep(everyS * 1_000)
  }
}
