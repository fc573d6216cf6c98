/**
 * How a runner goes: it takes nothing new, finishes what it can within its time, hands back the rest, and
 * ships its receipts. The same on a stop, on the platform's stop and on a notice; `docs/design/runners.md`
 * has the order and why.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Dialled } from '#gpu-runners/dialling/dial.ts'

/** Of its time: what a step may take to end, which otherwise would be done again from its start. */
const FINISH_SHARE = 1 / 4
/** A shard is a second of work; what takes longer than this is no shard, and its loss is not this one's to save. */
const FINISH_MS_MAX = 20_000
/** For what was asked online to be answered, and for steps to end or be handed back. */
const DRAIN_SHARE = 3 / 4
const LOOK_MS = 20

export type Leaving = {
  /** Fires first: nothing new is taken. */
  draining: AbortController
  /** Fires when it is time to hand back what has not ended. */
  givingUp: AbortController
}
export const newLeaving = (): Leaving => ({
  draining: new AbortController(),
  givingUp: new AbortController(),
})

export type Parts = {
  dialled: Pick<Dialled, 'drain' | 'inFlight' | 'close'>
  /** The runner's loops; each ends soon after both signals. */
  loops: Promise<unknown>[]
  /** What is closed behind the channel, each within so many milliseconds. */
  close(withinMs: number): Promise<unknown>
}

/** `budgetMs`: what is left until somebody ends this process; 0: nobody waits, let go of everything. */
export async function leave(leaving: Leaving, parts: Parts, budgetMs: number): Promise<void> {
  const { dialled, loops } = parts
  dialled.drain()
  leaving.draining.abort()
  const drainMs = budgetMs * DRAIN_SHARE
  const givingUp = setTimeout(
    () => leaving.givingUp.abort(),
    Math.min(budgetMs * FINISH_SHARE, FINISH_MS_MAX),
  )
  const gone = new AbortController()
  await Promise.race([
    Promise.all([answered(dialled, gone.signal), Promise.all(loops)]),
    sleep(drainMs, undefined, { signal: gone.signal }).catch(() => {}),
  ])
  gone.abort()
  clearTimeout(givingUp)
  leaving.givingUp.abort()
  dialled.close()
  await parts.close(budgetMs * (1 - DRAIN_SHARE))
}

async function answered(dialled: Parts['dialled'], signal: AbortSignal): Promise<void> {
  while (dialled.inFlight() > 0 && !signal.aborted) await sleep(LOOK_MS)
}
