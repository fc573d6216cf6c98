/**
 * The child's side of a place on one machine. Its standard input is a pipe that its supervisor holds:
 * the end of it, however the supervisor died, ends the place. File 3 takes the word that it is up. In a
 * container there is no such pipe, and the platform stops the place with a signal.
 */
import { fstatSync, writeSync } from 'node:fs'

/** `stop`: drain, the supervisor waits for it. `orphaned`: the supervisor is gone, end soon. */
export type Ending = 'stop' | 'orphaned'

/** An orphan that cannot finish its work must not meet the supervisor that starts next. */
const ORPHAN_MS_MAX = 3000
const READY_FD = 3

/**
 * Calls once, on a stop or at the end of the parent, and ends this process when the work is done. The
 * function that it returns is for a place that has its own reason to end.
 */
export function endWithParent(onEnd: (why: Ending) => Promise<void> | void): (why: Ending) => void {
  let ending = false
  const end = (why: Ending) => {
    if (why === 'orphaned') setTimeout(() => process.exit(1), ORPHAN_MS_MAX).unref()
    if (ending) return
    ending = true
    Promise.resolve(why)
      .then(onEnd)
      .then(
        () => process.exit(0),
        () => process.exit(1),
      )
  }
  process.on('SIGTERM', () => end('stop'))
  process.on('SIGINT', () => end('stop'))
  if (isHeld()) {
    process.stdin.on('end', () => end('orphaned'))
    process.stdin.on('error', () => end('orphaned'))
    process.stdin.resume()
  }
  return end
}

/** A pipe, or what Node gives its children for one; nobody's is /dev/null, or closed. */
function isHeld(): boolean {
  try {
    const input = fstatSync(0)
    return input.isFIFO() || input.isSocket()
  } catch {
    return false
  }
}

/** Tells the supervisor that this place takes work. Fields: whatever the place wants to state. */
export function reportReady(fields: Record<string, unknown> = {}): void {
  try {
    writeSync(READY_FD, `${JSON.stringify({ ready: true, ...fields })}\n`)
  } catch {
    // Started by hand, without a supervisor: nobody waits for it.
  }
}
