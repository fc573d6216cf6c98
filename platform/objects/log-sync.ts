/**
 * Brings an object's write-ahead log to the disk beside the thread that commits: what is committed
 * meanwhile shares the next sync, and computing need not wait for the disk, only replies do.
 */
import { close, fdatasync, openSync } from 'node:fs'

export type LogSync = {
  /** More has been written to the log. */
  written(): void
  /** Resolves when all that was written by now is on disk, rejects if it may not be; null: it is already. */
  synced(): Promise<void> | null
  /** All of it has come to the disk by another way. */
  moved(): void
  /** Gives the descriptor back once nobody waits. */
  close(): void
}

type Waiting = { upTo: number; resolve(): void; reject(error: unknown): void }

/** `path` is the log's; it must be there by the first `synced`. */
export function openLogSync(path: string): LogSync {
  let fd: number | null = null
  let written = 0
  let synced = 0
  let running = false
  let closed = false
  let failure: unknown = null
  let waiting: Waiting[] = []

  function run(): void {
    const upTo = written
    fd ??= openSync(path, 'r')
    running = true
    fdatasync(fd, error => {
      running = false
      if (error) fail(error)
      else succeed(upTo)
      if (waiting.length > 0) run()
      else if (closed) release()
    })
  }

  function succeed(upTo: number): void {
    synced = upTo
    const done = waiting.filter(each => each.upTo <= upTo)
    waiting = waiting.filter(each => each.upTo > upTo)
    for (const { resolve } of done) resolve()
  }

  /** Pages that a failed sync has given up are not written by a later one: nothing here is sure any more. */
  function fail(error: unknown): void {
    failure = error
    for (const { reject } of waiting.splice(0)) reject(error)
  }

  function release(): void {
    if (fd !== null) close(fd, () => {})
    fd = null
  }

  return {
    written() {
      written++
    },
    synced() {
      if (failure) return Promise.reject(failure)
      if (written === synced) return null
      return new Promise((resolve, reject) => {
        waiting.push({ upTo: written, resolve, reject })
        if (!running) run()
      })
    },
    moved: () => succeed(written),
    close() {
      closed = true
      if (!running) release()
    },
  }
}
