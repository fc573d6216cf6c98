/**
 * Calls for a runner where a request finds none of its class. Whoever starts runners hears of it beside the
 * request, which waits meanwhile and for no answer of theirs.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Clock, Log, Servable } from '#core/deps.ts'
import type { Registry } from '#platform/metrics/registry.ts'

/** One call speaks for all requests that come so soon after it. */
const AGAIN_MS = 1_000
/** Of calls that were not heard, half a minute long. */
const TRIES_MAX = 60
const RETRY_MS = 500
/** Classes come from manifests: as many as tenants name. */
const CLASSES_MAX = 1_000

/** Seconds that a start of this class takes on average; null: nobody starts any. */
export type CallRunner = (hardware: string | null) => Promise<{ coldS: number | null }>

export type Calling = {
  /** A request finds no runner now. Returns at once. */
  call(model: Servable): void
  /** When one is expected that was called for, Unix milliseconds; null: not as far as is known. */
  expectedMs(model: Servable): number | null
  /** One of its class takes requests: what is called for next is another. */
  met(runner: { hardware: string; isDedicated: boolean }): void
}

type Called = { sinceMs: number; lastMs: number; coldS: number | null }

/** `onExpected`: how long a start takes is known, and was not before. */
export function openCalling(
  deps: { clock: Clock; log: Log; registry: Registry; callRunner: CallRunner },
  onExpected: () => void,
): Calling {
  const { clock, log } = deps
  const calls = deps.registry.counter(
    'galley_router_calls_total',
    'Calls for a runner, where a request found none.',
    ['hardware'],
  )
  /** By class; null: any. */
  const classes = new Map<string | null, Called>()

  async function tell(hardware: string | null, called: Called): Promise<void> {
    for (let tries = 1; classes.get(hardware) === called; tries++) {
      try {
        const { coldS } = await deps.callRunner(hardware)
        const isNew = coldS !== called.coldS
        called.coldS = coldS
        if (isNew && classes.get(hardware) === called) onExpected()
        return
      } catch (error) {
        if (tries === 1) log.error('router.runner_not_called', { hardware, error: String(error) })
        if (tries === TRIES_MAX) return
      }
      await sleep(RETRY_MS, undefined, { ref: false })
    }
  }

  return {
    call({ manifest }) {
      const hardware = manifest.hardware ?? null
      const now = clock.now()
      let called = classes.get(hardware)
      if (called && now - called.lastMs < AGAIN_MS) return
      if (!called) {
        if (classes.size >= CLASSES_MAX) classes.delete(classes.keys().next().value!)
        called = { sinceMs: now, lastMs: now, coldS: null }
        classes.set(hardware, called)
      }
      called.lastMs = now
      calls.of(hardware ?? 'any').add()
      void tell(hardware, called)
    },
    expectedMs({ manifest }) {
      const called = classes.get(manifest.hardware ?? null)
      if (!called || called.coldS === null) return null
      const coldMs = called.coldS * 1_000
      const now = clock.now()
      // One that should be there by now is taken to need as long again.
      return called.sinceMs + coldMs > now ? called.sinceMs + coldMs : now + coldMs
    },
    met({ hardware, isDedicated }) {
      classes.delete(hardware)
      if (!isDedicated) classes.delete(null)
    },
  }
}
