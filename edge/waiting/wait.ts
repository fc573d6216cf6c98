/**
 * What takes its time is waited for here, where who waits costs nothing: a function is paid for its time, and
 * of those that answer the control API there are few at once.
 */
import type { Context } from 'hono'
import { AppError } from '#core/error.ts'
import type { EdgeDeps } from '../deps.ts'
import { ask } from '../functions-client.ts'

/** Below what load balancers and clients commonly wait for an answer. */
const WAIT_MS_MAX = 50_000
const POLL_FIRST_MS = 100
const POLL_MAX_MS = 1_000

/**
 * What `path` answers when it no longer waits, or as it is when the caller has waited for long enough or left.
 * Throws what is said of the end.
 */
export async function waitedFor<T>(
  deps: EdgeDeps,
  c: Context,
  { begun, waits, path, asked }: Waited<T>,
): Promise<T> {
  let isAlone = false
  const leave = () => {
    isAlone = true
  }
  deps.http.departed(c)?.addEventListener('abort', leave, { once: true })
  const until = deps.clock.now() + WAIT_MS_MAX
  let now = begun
  for (let pauseMs = POLL_FIRST_MS; ; pauseMs = Math.min(pauseMs * 1.5, POLL_MAX_MS)) {
    if (!waits(now) || isAlone || deps.clock.now() > until) return now
    await new Promise(resolve => setTimeout(resolve, pauseMs))
    try {
      now = await ask<T>(deps, path, asked)
    } catch (error) {
      if (error instanceof AppError && !error.retryable && error.status < 500) throw error
      // It is begun, and nobody can tell now what has become of it.
      return now
    }
  }
}

type Waited<T> = { begun: T; waits(now: T): boolean; path: string; asked: object }
