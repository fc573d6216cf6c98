/** A runner says that it is there and what it is: publishing a version asks whether any can serve it. */
import { availableParallelism } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Log } from '#core/deps.ts'
import type { hardware } from '#core/models/models.ts'
import type { Control } from './control.ts'
import type { RunnerEnv } from './env.ts'

/** Several times within the silence after which a runner is taken to be gone. */
const ANNOUNCE_MS = 10_000

/** Announces until the signal fires. A runner that cannot be heard is taken to be gone, and no more. */
export async function announcing(
  deps: { control: Control; log: Log; lacks: string | null },
  env: RunnerEnv,
  signal: AbortSignal,
): Promise<void> {
  const said: hardware.Announcement = {
    name: env.name,
    hardware: env.hardware,
    providers: env.providers,
    lacks: deps.lacks,
    cores: availableParallelism(),
    modelMemoryMb: Math.round(env.modelMemoryBytes / 2 ** 20),
  }
  let isTold = false
  while (!signal.aborted) {
    try {
      await deps.control.insist('/internal/runners', said, signal)
      isTold = false
    } catch (error) {
      if (!isTold && !signal.aborted) {
        deps.log.error('runner.not_announced', { error: String(error) })
      }
      isTold = true
    }
    await sleep(ANNOUNCE_MS, undefined, { signal }).catch(() => {})
  }
}
