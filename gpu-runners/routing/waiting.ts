/**
 * Requests that no runner can take now: until a runner comes, or until one has loaded their model. Bounded
 * in number, in bytes, in each tenant's part of both, and in time.
 */
import type { Clock, Servable } from '#core/deps.ts'
import { AppError } from '#core/error.ts'
import { ofClass } from './placement.ts'
import { Room } from './room.ts'
import type { Pending } from './runner.ts'

/** How long a request waits for any runner to come (back). */
const NO_RUNNER_WAIT_MS = 10_000
/** Of requests for one model that is being loaded: they all reach its batcher's queue at once. */
const PER_MODEL_MAX = 1_000

export type Why =
  /** When one is expected, Unix milliseconds, as far as is known when it is asked; null: it is not. */
  { for: 'a runner'; expectedMs(): number | null } | { for: 'a load'; expectedUs: number }

export class Waiting {
  readonly #clock: Clock
  readonly #noRunnerWaitMs: number
  readonly #room = new Room()
  readonly #byDigest = new Map<string, Set<Pending>>()

  constructor(clock: Clock, { noRunnerWaitMs = NO_RUNNER_WAIT_MS } = {}) {
    this.#clock = clock
    this.#noRunnerWaitMs = noRunnerWaitMs
  }

  get size(): number {
    let size = 0
    for (const same of this.#byDigest.values()) size += same.size
    return size
  }

  /** Waits until `wake` is called, and rejects when that takes too long. */
  add(pending: Pending, why: Why, onWake: () => void): void {
    const { call } = pending
    const { digest } = call.model
    const same = this.#byDigest.get(digest) ?? new Set()
    if (same.size >= PER_MODEL_MAX || !this.#room.take(call)) {
      pending.reject(tooMany(why, this.#clock.now()))
      return
    }
    this.#byDigest.set(digest, same)
    same.add(pending)
    const stop = () => {
      clearTimeout(timer)
      same.delete(pending)
      if (same.size === 0 && this.#byDigest.get(digest) === same) this.#byDigest.delete(digest)
      this.#room.give(call)
      pending.wake = null
    }
    const now = this.#clock.now()
    if (why.for === 'a runner') pending.noRunnerUntil ??= now + this.#noRunnerWaitMs
    else pending.noRunnerUntil = null
    const until = this.#until(pending, why)
    const timer = setTimeout(
      () => {
        stop()
        const isLate = until === call.deadline
        if (why.for === 'a load') pending.reject(notLoadedYet(why.expectedUs))
        else {
          const inS = expectedInS(why, this.#clock.now())
          pending.reject((isLate ? noRunnerYet : noRunner)(call.model, inS))
        }
      },
      Math.max(0, until - now),
    )
    pending.wake = () => {
      stop()
      onWake()
    }
  }

  /** For one that is expected in time it waits longer, and not for ever: it may be late, or be lost. */
  #until({ call, noRunnerUntil }: Pending, why: Why): number {
    if (why.for === 'a load' || noRunnerUntil === null) return call.deadline
    const expectedMs = why.expectedMs()
    const isInTime = expectedMs !== null && expectedMs < call.deadline
    const worthwhile = isInTime ? expectedMs + this.#noRunnerWaitMs : noRunnerUntil
    return Math.min(call.deadline, Math.max(noRunnerUntil, worthwhile))
  }

  digests(): string[] {
    return [...this.#byDigest.keys()]
  }

  /** All that wait for this model look again where they may go. */
  wake(digest: string): void {
    for (const pending of [...(this.#byDigest.get(digest) ?? [])]) pending.wake?.()
  }

  wakeAll(): void {
    for (const digest of this.digests()) this.wake(digest)
  }
}

const secondsOf = (us: number) => Math.max(1, Math.ceil(us / 1_000_000))

function tooMany(why: Why, now: number): AppError {
  if (why.for === 'a runner') {
    return new AppError('overloaded', { retryable: true, retryAfterS: expectedInS(why, now) ?? 1 })
  }
  return new AppError('overloaded', {
    public: 'The model is being loaded, and as many requests wait for it as may.',
    retryable: true,
    retryAfterS: secondsOf(why.expectedUs),
  })
}

function notLoadedYet(expectedUs: number): AppError {
  return new AppError('deadline_exceeded', {
    public: 'The deadline passed while the model was being loaded; ask again in a moment.',
    retryable: true,
    retryAfterS: secondsOf(expectedUs),
  })
}

/** Seconds until a runner is expected; null: none is. */
export function expectedInS({ expectedMs }: { expectedMs(): number | null }, now: number) {
  const at = expectedMs()
  return at === null ? null : Math.max(1, Math.ceil((at - now) / 1_000))
}

function noRunner({ manifest }: Servable, inS: number | null): AppError {
  const isStarting = inS === null ? '' : ` One is started, and expected in ${inS} s.`
  return new AppError('unavailable', {
    public: `No runner${ofClass(manifest.hardware)} is there to run the model.${isStarting}`,
    retryable: true,
    retryAfterS: inS ?? 1,
  })
}

function noRunnerYet({ manifest }: Servable, inS: number | null): AppError {
  if (inS === null) return new AppError('deadline_exceeded')
  return new AppError('deadline_exceeded', {
    public: `The deadline passed while a runner${ofClass(manifest.hardware)} was started; one is expected in ${inS} s.`,
    retryable: true,
    retryAfterS: inS,
  })
}
