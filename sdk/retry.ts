/**
 * When a call is tried again, and after how long: exponential backoff with full jitter ("Exponential
 * Backoff And Jitter", AWS Architecture Blog, 2015), never sooner than the server asked.
 */
import type { GalleyError } from './error.ts'

export const TRIES_MAX = 5
const BASE_MS = 200
const CAP_MS = 8_000
/** Who must wait longer hears it at once and can plan; nobody waits unknowingly. */
const RETRY_AFTER_MS_MAX = 60_000

/** Refused before any work was done, so that even a call that must not run twice may be repeated. */
const REFUSED_STATUSES = [429, 503]
/** Says nothing of whether the work was done. */
const UNCERTAIN_STATUSES = [502, 504]
const UNCERTAIN_CODES = ['network', 'timeout']

/**
 * Milliseconds until the next try; null: there is none. `repeatable`: running the call twice is the
 * same as running it once. `tries`: how many there were, this one included.
 */
export function waitBeforeRetry(
  error: GalleyError,
  { tries, repeatable, random }: { tries: number; repeatable: boolean; random: () => number },
): number | null {
  if (tries >= TRIES_MAX || !mayRetry(error, repeatable)) return null
  const jitter = random() * Math.min(CAP_MS, BASE_MS * 2 ** (tries - 1))
  if (error.retryAfterMs === undefined) return jitter
  return error.retryAfterMs > RETRY_AFTER_MS_MAX ? null : error.retryAfterMs + jitter
}

function mayRetry({ status, code }: GalleyError, repeatable: boolean): boolean {
  if (REFUSED_STATUSES.includes(status)) return true
  if (!repeatable) return false
  // An earlier try of this very call, whose connection broke, is still at work.
  if (code === 'idempotency_in_flight') return true
  return UNCERTAIN_CODES.includes(code) || UNCERTAIN_STATUSES.includes(status)
}

/** Resolves after the time, or rejects with the signal's reason. */
export function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted()
    const stop = () => {
      clearTimeout(timer)
      reject(signal!.reason)
    }
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', stop)
      resolve()
    }, ms)
    signal?.addEventListener('abort', stop, { once: true })
  })
}
