/** Syncs of the receipt log under way, and whether the disk keeps up with the replies. */
import { fdatasync } from 'node:fs'

/** Replies wait once the oldest receipt has been without a sync for so long … */
const OVERDUE_MS = 30
/** … and after a sync that took so long, until one is quick again: the next may be slow as well. */
const SLOW_MS = 15

export class Syncs {
  /** Each with the time of the oldest receipt that it is for. */
  readonly #underWay = new Map<Promise<void>, number>()
  #lastMs = 0

  /** Syncs a file in which the oldest receipt without one was written at `sinceMs`. */
  begin(fd: number, sinceMs: number, ended: (error: Error | null) => void): void {
    const beganMs = performance.now()
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#underWay.set(promise, sinceMs)
    fdatasync(fd, error => {
      this.#lastMs = performance.now() - beganMs
      this.#underWay.delete(promise)
      ended(error)
      resolve()
    })
  }

  /** `dirtySinceMs`: the time of the oldest receipt that no sync has begun for. */
  isBehind(dirtySinceMs: number | null): boolean {
    const oldestMs = Math.min(dirtySinceMs ?? Infinity, ...this.#underWay.values())
    return this.#lastMs > SLOW_MS || performance.now() - oldestMs > OVERDUE_MS
  }

  /** Resolves when those under way have ended. */
  async ended(): Promise<void> {
    await Promise.all(this.#underWay.keys())
  }
}
