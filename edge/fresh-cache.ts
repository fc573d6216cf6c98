/**
 * Answers that may be a little old: fresh for a while, then served once more while the next is fetched,
 * then fetched before serving (stale-while-revalidate, RFC 5861). Bounded: the oldest entry leaves.
 */
import type { EdgeDeps } from './deps.ts'

export const FRESH_MS = 10_000
export const STALE_MS = 60_000

type Entry<T> = { value: T; at: number; refreshing: boolean }

export class FreshCache<T> {
  readonly #entries = new Map<string, Entry<T>>()
  readonly #fetching = new Map<string, Promise<T | null>>()
  readonly #entriesMax: number
  #generation = 0

  constructor(entriesMax: number) {
    this.#entriesMax = entriesMax
  }

  /** The value if it is fresh, without a promise: the way of nearly every request. */
  fresh(key: string, nowMs: number): T | undefined {
    const entry = this.#entries.get(key)
    return entry && nowMs - entry.at < FRESH_MS ? entry.value : undefined
  }

  /** The value, fetched when it is too old. Null is an answer too, but one that is not kept. */
  async get(
    deps: Pick<EdgeDeps, 'clock' | 'background'>,
    key: string,
    fetch: () => Promise<T | null>,
  ): Promise<T | null> {
    const entry = this.#entries.get(key)
    const age = entry ? deps.clock.now() - entry.at : Infinity
    if (age < FRESH_MS) return entry!.value
    if (age < STALE_MS) {
      if (!entry!.refreshing) {
        entry!.refreshing = true
        // A refresh that fails leaves the entry as it is: it ages out by itself.
        deps.background(
          this.#fetch(deps, key, fetch)
            .catch(() => null)
            .then(() => {
              entry!.refreshing = false
            }),
        )
      }
      return entry!.value
    }
    return this.#fetch(deps, key, fetch)
  }

  delete(test: (key: string, value: T) => boolean): void {
    this.#generation++
    // Who asks from now on must not be answered by a look-up that began before.
    this.#fetching.clear()
    for (const [key, entry] of this.#entries) if (test(key, entry.value)) this.#entries.delete(key)
  }

  /** One fetch per key at a time, however many ask. */
  #fetch(
    deps: Pick<EdgeDeps, 'clock'>,
    key: string,
    fetch: () => Promise<T | null>,
  ): Promise<T | null> {
    const running = this.#fetching.get(key)
    if (running) return running
    const generation = this.#generation
    const started = fetch()
      .then(value => {
        // What was asked before a deletion must not come back after it.
        if (generation === this.#generation) this.#store(key, value, deps.clock.now())
        return value
      })
      .finally(() => {
        if (this.#fetching.get(key) === started) this.#fetching.delete(key)
      })
    this.#fetching.set(key, started)
    return started
  }

  #store(key: string, value: T | null, at: number): void {
    this.#entries.delete(key)
    if (value === null) return
    if (this.#entries.size >= this.#entriesMax) {
      this.#entries.delete(this.#entries.keys().next().value!)
    }
    this.#entries.set(key, { value, at, refreshing: false })
  }
}
