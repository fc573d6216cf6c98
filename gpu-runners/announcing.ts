/**
 * A runner says that it is there, what it is, and what it has to do: publishing a version asks whether any can
 * serve it, and capacity how many there should be.
 */
import { availableParallelism } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Log } from '#core/deps.ts'
import type { hardware } from '#core/models/models.ts'
import type { Control } from './control.ts'
import type { RunnerEnv } from './env.ts'
import type { Load } from './load.ts'

/** Several times within the silence after which a runner is taken to be gone. */
const ANNOUNCE_MS = 10_000
const LOOK_MS = 1_000
/** A change of its load that is said at once; so are the first request and the last. */
const NEWS = 0.1

/** Announces until the signal fires. A runner that cannot be heard is taken to be gone, and no more. */
export async function announcing(
  deps: {
    control: Control
    log: Log
    lacks: string | null
    load: Load
    /** Models of online requests in memory. */
    warmModels(): number
  },
  env: RunnerEnv,
  signal: AbortSignal,
): Promise<void> {
  const fixed = {
    name: env.name,
    hardware: env.hardware,
    providers: env.providers,
    lacks: deps.lacks,
    cores: availableParallelism(),
    modelMemoryMb: Math.round(env.modelMemoryBytes / 2 ** 20),
  }
  let isTold = false
  let said: hardware.Announcement | null = null
  let saidMs = 0
  while (!signal.aborted) {
    deps.load.look()
    const onlineShare = deps.load.share()
    if (
      !said ||
      performance.now() - saidMs >= ANNOUNCE_MS ||
      isNews(said.onlineShare, onlineShare)
    ) {
      try {
        said = { ...fixed, onlineShare, warmModels: deps.warmModels() }
        saidMs = performance.now()
        await deps.control.insist('/internal/runners', said, signal)
        isTold = false
      } catch (error) {
        if (!isTold && !signal.aborted) {
          deps.log.error('runner.not_announced', { error: String(error) })
        }
        isTold = true
      }
    }
    await sleep(LOOK_MS, undefined, { signal }).catch(() => {})
  }
}

function isNews(before: number, now: number): boolean {
  return before > 0 !== now > 0 || Math.abs(now - before) >= NEWS
}
