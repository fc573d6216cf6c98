/**
 * A version made warm before it gets traffic: on every runner that has the one whose place it takes, so
 * that a switch never leaves fewer runners to serve; on one where none has it.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Clock, LoadCall } from '#core/deps.ts'
import { AppError } from '#core/error.ts'
import type { Calling } from './calling.ts'
import type { Loading } from './loading.ts'
import { leastBusy, ofClass, suits } from './placement.ts'
import { type Runner, RunnerLost } from './runner.ts'
import { expectedInS } from './waiting.ts'

/** How long it waits for any runner to be there, and how much longer than one is expected to need. */
const NO_RUNNER_WAIT_MS = 10_000
const LOOK_MS = 50
const LOSSES_MAX = 3

export function openWarming(deps: {
  clock: Clock
  runners: Iterable<Runner>
  loading: Loading
  calling: Calling
}) {
  function targets({ model, instead }: LoadCall): Runner[] {
    const there = [...deps.runners].filter(runner => !runner.draining && suits(runner, model))
    const serving = there.filter(runner => instead !== null && runner.warm.has(instead))
    if (serving.length > 0) return serving
    const warm = there.filter(runner => runner.warm.has(model.digest))
    const one = leastBusy(there, model)
    return warm.length > 0 ? warm : one ? [one] : []
  }

  /** Those that were asked to load it, once there is any. Throws `unavailable` when none comes. */
  async function awaited(call: LoadCall): Promise<Runner[]> {
    const { clock, calling } = deps
    const sinceMs = clock.now()
    const expected = { expectedMs: () => calling.expectedMs(call.model) }
    for (;;) {
      const found = targets(call)
      if (found.length > 0) return found
      calling.call(call.model)
      const expectedMs = Math.max(sinceMs, expected.expectedMs() ?? sinceMs)
      if (clock.now() >= Math.min(call.deadline, expectedMs + NO_RUNNER_WAIT_MS)) {
        throw noRunner(call.model, expectedInS(expected, clock.now()))
      }
      await sleep(LOOK_MS)
    }
  }

  /** Throws what a runner says against the version; one that was lost says nothing against it. */
  return async (call: LoadCall): Promise<{ runners: number }> => {
    const { tenantId } = call.call.caller
    for (let losses = 0; losses < LOSSES_MAX; losses++) {
      const asked = (await awaited(call)).map(runner =>
        deps.loading.on(runner, tenantId, call.model),
      )
      const loads = await inTime(Promise.allSettled(asked), call.deadline - deps.clock.now())
      const failed = loads.flatMap(load => (load.status === 'rejected' ? [load.reason] : []))
      const against = failed.find(reason => !(reason instanceof RunnerLost))
      if (against) throw against
      if (failed.length < loads.length) return { runners: loads.length - failed.length }
    }
    throw new AppError('unavailable', {
      public: `${LOSSES_MAX} runners were lost while they loaded this version.`,
      retryable: true,
      retryAfterS: 1,
    })
  }
}

async function inTime<T>(work: Promise<T>, leftMs: number): Promise<T> {
  const timer = new AbortController()
  const late = sleep(Math.max(0, leftMs), null, { signal: timer.signal })
  try {
    const done = await Promise.race([work.then(value => ({ value })), late])
    if (done) return done.value
  } finally {
    timer.abort()
    late.catch(() => {})
  }
  throw new AppError('deadline_exceeded', {
    public: 'The version was not loaded in time; it goes on loading, so ask again in a moment.',
    retryable: true,
    retryAfterS: 5,
  })
}

function noRunner({ manifest }: LoadCall['model'], inS: number | null): AppError {
  return new AppError('unavailable', {
    public: `No runner${ofClass(manifest.hardware)} is there to load the version.`,
    retryable: true,
    retryAfterS: inS ?? 1,
  })
}
