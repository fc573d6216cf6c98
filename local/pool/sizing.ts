/** A pool kept at the size that is decided for it, until somebody stops. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Fleet, RunnerPool } from '#core/capacity/capacity.ts'
import type { Decision } from '#core/capacity/policy.ts'
import type { Log } from '#core/deps.ts'
import { inFull } from '#core/error.ts'

type Deps = {
  log: Log
  decide(fleet: Fleet): Promise<Pick<Decision, 'desired' | 'drain'>>
  /** Resolves when it is to be decided again: after so long, or sooner where there is a reason. */
  pause?(everyMs: number, signal: AbortSignal): Promise<void>
}
type Sizing = { pool: RunnerPool; everyMs: number; signal: AbortSignal }

/** Resolves soon after the signal; a round that fails is logged, and followed by the next one. */
export async function keepSized({ log, decide, pause }: Deps, sizing: Sizing): Promise<void> {
  const { pool, everyMs, signal } = sizing
  while (!signal.aborted) {
    try {
      const decision = await decide(await pool.fleet())
      if (!signal.aborted) await pool.apply(decision)
      if (pause && !signal.aborted) {
        await pause(everyMs, signal)
        continue
      }
    } catch (error) {
      if (!signal.aborted) log.error('capacity not decided', { error: inFull(error) })
    }
    await sleep(everyMs, undefined, { signal }).catch(() => {})
  }
}
