/**
 * Answers that may be a little old: fresh for a while, then served once more while the next is fetched,
 * then fetched before serving (stale-while-revalidate, RFC 5861). Bounded: the oldest entry leaves.
 */
import type { Caller } from '#core/caller.ts'
import type { EdgeDeps } from './deps.ts'
import { ask } from './functions-client.ts'
import type { Limiter } from './middleware/limits.ts'

export const FRESH_MS = 10_000
export const STALE_MS = 60_000

type Entry<T> = { value: T; at: number; refreshing: boolean }
type Test<T> = (key: string, value: T) => boolean

export class FreshCache<T> {
  readonly #entries = new Map<string, Entry<T>>()
  readonly #fetching = new Map<string, Promise<T | null>>()
  /** Of each look-up under way, what was deleted since it began. */
  readonly #underWay = new Set<Test<T>[]>()
  readonly #entriesMax: number
  readonly #staleMs: number

  /** With `staleMs` of 0 nothing is served that is not fresh. */
  constructor(entriesMax: number, staleMs = STALE_MS) {
    this.#entriesMax = entriesMax
    this.#staleMs = staleMs
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
    if (age < this.#staleMs) {
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

  /** Whether there is a value, however old. */
  has(key: string): boolean {
    return this.#entries.has(key)
  }

  delete(test: Test<T>): void {
    // Who asks from now on must not be answered by a look-up that began before.
    this.#fetching.clear()
    for (const deleted of this.#underWay) deleted.push(test)
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
    const deleted: Test<T>[] = []
    this.#underWay.add(deleted)
    const askedAt = deps.clock.now()
    const started = fetch()
      .then(value => {
        // What was asked before a deletion must not come back after it.
        const isDeleted = value !== null && deleted.some(test => test(key, value))
        if (!isDeleted) this.#store(key, value, askedAt)
        return value
      })
      .finally(() => {
        this.#underWay.delete(deleted)
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

/** What tenants have by name: asked of the control API at `path`, made ready once, kept for seconds, forgotten on a change. */
export class TenantDirectory<Answer, T> {
  readonly #deps: EdgeDeps
  readonly #limits: Limiter
  readonly #of: { path: string; made(answer: Answer): T | null }
  readonly #found: FreshCache<T>

  constructor(
    deps: EdgeDeps,
    limits: Limiter,
    of: { path: string; made(answer: Answer): T | null; entriesMax: number },
  ) {
    this.#deps = deps
    this.#limits = limits
    this.#of = of
    this.#found = new FreshCache(of.entriesMax)
  }

  known(tenantId: string, name: string, nowMs: number): T | undefined {
    return this.#found.fresh(keyOf(tenantId, name), nowMs)
  }

  /** `input` is what the control API is asked with, beside the tenant. Null: there is none. */
  protected find({ caller, name, input }: Asked): Promise<T | null> {
    const { tenantId } = caller
    return this.#found.get(this.#deps, keyOf(tenantId, name), async () => {
      // Names that there are none of are never held: without this a flood of them reaches the database.
      await this.#limits.spend(caller, 'lookup')
      const { path, made } = this.#of
      return made(await ask<Answer>(this.#deps, path, { tenantId, ...input }))
    })
  }

  forget(tenantId: string): void {
    this.#found.delete(key => key.startsWith(keyOf(tenantId, '')))
  }
}

type Asked = { caller: Caller; name: string; input: object }

function keyOf(tenantId: string, name: string): string {
  return `${tenantId} ${name}`
}
