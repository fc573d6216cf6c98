/**
 * Models that no runner has warm: one load however many ask, on the runner with the least to do, and on
 * another when that one is lost.
 */
import type { Clock, Log, Servable } from '#core/deps.ts'
import { AppError } from '#core/error.ts'
import type { TenantId } from '#schemas/ids.ts'
import { leastBusy, type Placement } from './placement.ts'
import { question, type Runner, RunnerLost } from './runner.ts'

/** Runners that were lost one after the other while they loaded it before the model is taken for the cause. */
const LOSSES_MAX = 3
/** After a loss: a machine that takes the place of one that was lost comes within this, or another reason is likelier. */
const LOSS_MS = 600_000
/** What failed just now is not tried again for every request that comes. */
const FAILED_MS = 1_000
const FAILED_MAX = 10_000
type Failed = { at: number; error: unknown }
type Losses = { at: number; count: number }

export type Loading = {
  /** Loads it where it is not. Rejects with what the engine says, or `RunnerLost`. */
  on(runner: Runner, tenantId: TenantId, model: Servable): Promise<void>
  /** Loads it on one runner more, while another serves it. What goes wrong is nobody's to hear. */
  also(runner: Runner, tenantId: TenantId, model: Servable): void
  /** Sees to it that one runner loads it; null: there is none. */
  anywhere(tenantId: TenantId, model: Servable): Promise<void> | null
}

export function openLoading(
  deps: { clock: Clock; log: Log; placement: Placement; runners: Iterable<Runner> },
  nextId: () => number,
): Loading {
  const underWay = new Map<string, Promise<void>>()
  const failed = new Map<string, Failed>()
  /** Of second runners, by runner and digest: where one could not load it, another serves it. */
  const alsoFailed = new Map<string, Failed>()
  /** Since a load of this digest last ended in another way: where there is one runner, each is the first of its own. */
  const lost = new Map<string, Losses>()

  function fail(of: Map<string, Failed>, key: string, error: unknown, model: Servable): void {
    const { model: name, digest } = model
    deps.log.error('router.not_loaded', { model: name, digest, error: String(error) })
    keep(of, key, { at: deps.clock.now(), error })
  }

  function keep<T>(of: Map<string, T>, key: string, value: T): void {
    if (of.size >= FAILED_MAX) of.delete(of.keys().next().value!)
    of.set(key, value)
  }

  /** Whether so many were lost that nobody else should be. */
  function isOneTooMany(digest: string): boolean {
    const now = deps.clock.now()
    const last = lost.get(digest)
    const count = last && now - last.at < LOSS_MS ? last.count + 1 : 1
    lost.delete(digest)
    if (count >= LOSSES_MAX) return true
    keep(lost, digest, { at: now, count })
    return false
  }

  /** What failed just now. */
  function lately(of: Map<string, Failed>, key: string): Failed | undefined {
    const last = of.get(key)
    if (last && deps.clock.now() - last.at < FAILED_MS) return last
    of.delete(key)
  }

  function on(runner: Runner, tenantId: TenantId, model: Servable): Promise<void> {
    const { digest } = model
    if (runner.warm.has(digest)) return Promise.resolve()
    const known = runner.loading.get(digest)
    if (known) return known
    const began = performance.now()
    const load = question(runner, nextId(), { do: 'load', tenantId, model })
      .then(() => {
        runner.warm.add(digest)
        deps.placement.loaded(digest, (performance.now() - began) * 1_000)
      })
      .finally(() => runner.loading.delete(digest))
    runner.loading.set(digest, load)
    return load
  }

  async function upTo(tenantId: TenantId, model: Servable): Promise<void> {
    for (;;) {
      const runner = leastBusy(deps.runners, model)
      // Whoever waits is asked again when one comes.
      if (!runner) return
      try {
        await on(runner, tenantId, model)
        lost.delete(model.digest)
        return
      } catch (error) {
        if (!(error instanceof RunnerLost)) {
          lost.delete(model.digest)
          throw error
        }
        if (isOneTooMany(model.digest)) throw lostTooOften()
      }
    }
  }

  return {
    on,
    also(runner, tenantId, model) {
      const key = `${runner.name} ${model.digest}`
      if (lately(alsoFailed, key)) return
      on(runner, tenantId, model).catch(error => fail(alsoFailed, key, error, model))
    },
    anywhere(tenantId, model) {
      const { digest } = model
      const known = underWay.get(digest)
      if (known) return known
      const last = lately(failed, digest)
      if (last) return Promise.reject(last.error)
      if (!leastBusy(deps.runners, model)) return null
      const load = upTo(tenantId, model)
        .catch(error => {
          fail(failed, digest, error, model)
          throw error
        })
        .finally(() => underWay.delete(digest))
      underWay.set(digest, load)
      return load
    },
  }
}

function lostTooOften(): AppError {
  return new AppError('unavailable', {
    public: `${LOSSES_MAX} runners were lost while they loaded this model.`,
    retryable: true,
    retryAfterS: 1,
  })
}
