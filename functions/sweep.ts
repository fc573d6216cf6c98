/** What a schedule does every few seconds: the work that no request and no message asks for. */

import * as events from '#core/events/events.ts'
import * as jobs from '#core/jobs/jobs.ts'
import * as models from '#core/models/models.ts'
import type { FunctionsDeps } from './deps.ts'
import * as idempotency from './idempotency.ts'

const SWEEPS = {
  expire_runs: jobs.sweep.expireRuns,
  requeue_steps: jobs.sweep.requeueSilentSteps,
  ask_for_validation: models.validation.askAgain,
  forget_replies: idempotency.forget,
  // The last: where objects do not answer it takes what time is left.
  place_events: events.placeWaiting,
}

/** Each sweep once; returns those that failed. One that fails is logged, and leaves the others theirs. */
export async function sweep(
  deps: Pick<FunctionsDeps, 'db' | 'clock' | 'log' | 'features'>,
): Promise<string[]> {
  const failed: string[] = []
  for (const [name, work] of Object.entries(SWEEPS)) {
    try {
      await work(deps)
    } catch (error) {
      deps.log.error('functions.sweep_failed', { sweep: name, error: String(error) })
      failed.push(name)
    }
  }
  return failed
}
