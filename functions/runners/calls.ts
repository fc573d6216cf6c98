/** Who sizes a pool of this machine waits here, so that a request without a runner does not wait for the clock. */
import { setTimeout as sleep } from 'node:timers/promises'

export type Calls = {
  ring(): void
  /** Resolves when it has been rung since the last time, or after so long. Of one who waits at a time. */
  rung(withinMs: number, signal: AbortSignal): Promise<void>
}

export function openCalls(): Calls {
  let isRung = false
  let wake = () => {}
  return {
    ring() {
      isRung = true
      wake()
    },
    async rung(withinMs, signal) {
      if (!isRung) {
        const woken = new AbortController()
        wake = () => woken.abort()
        const either = AbortSignal.any([woken.signal, signal])
        await sleep(withinMs, undefined, { signal: either }).catch(() => {})
      }
      isRung = false
    },
  }
}
