/** Threads and processes that are dear to start, kept a while for the next step and then ended. */
import type { EventEmitter } from 'node:events'

/** Longer than the pause between two shards of a job. */
const IDLE_MS = 10_000

export type Kind<T> = {
  start(): T
  stop(one: T): void
  /** Whether it keeps this process alive. */
  hold(one: T, held: boolean): void
}

export function keeper<T extends EventEmitter>({ start, stop, hold }: Kind<T>) {
  const idle: { one: T; wake(): void }[] = []
  return {
    take(): T {
      const kept = idle.pop()
      kept?.wake()
      return kept?.one ?? start()
    },
    giveBack(one: T): void {
      const drop = () => {
        const at = idle.indexOf(kept)
        if (at >= 0) idle.splice(at, 1)
        stop(one)
      }
      const timer = setTimeout(drop, IDLE_MS)
      const kept = {
        one,
        wake() {
          clearTimeout(timer)
          one.off('error', drop)
          one.off('exit', drop)
          hold(one, true)
        },
      }
      timer.unref()
      one.on('error', drop)
      one.on('exit', drop)
      hold(one, false)
      idle.push(kept)
    },
  }
}
