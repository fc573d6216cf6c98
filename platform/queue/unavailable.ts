/** Tells a database that is away for a moment from a fault of ours, and waits a little before asking again. */
import { AppError } from '#core/error.ts'

// SQLSTATE classes and codes that another try may not meet: connection lost, server starting or
// stopping, too many connections, a deadlock's victim, a standby that is not yet the primary.
const PASSING_STATES = /^(08...|57P0[1-5]|53300|40001|40P01|25006)$/
const PASSING_ERRNOS =
  /^(ECONN(REFUSED|RESET|ABORTED)|EPIPE|ENOENT|ENOTCONN|ETIMEDOUT|EAI_AGAIN|EHOSTUNREACH|ENETUNREACH)$/
// `pg` gives these no code.
const PASSING_TEXTS =
  /connection terminated|connection error|not queryable|timeout exceeded when trying to connect|client was closed|cannot use a pool after/i

/** The same error as one of ours: `unavailable`, `insufficient_storage`, or itself when it is neither. */
export function storeFault(error: unknown): unknown {
  if (error instanceof AppError || !(error instanceof Error)) return error
  const code = 'code' in error ? String(error.code) : ''
  if (code === '53100' || code === 'ENOSPC') {
    return new AppError('insufficient_storage', {
      internal: error.message,
      retryable: true,
      cause: error,
    })
  }
  const passing =
    PASSING_STATES.test(code) || PASSING_ERRNOS.test(code) || PASSING_TEXTS.test(error.message)
  if (!passing) return error
  return new AppError('unavailable', {
    public: 'The queue cannot be reached now. Try again in a moment.',
    internal: `queue store: ${error.message}`,
    retryable: true,
    cause: error,
  })
}

export function isUnavailable(error: unknown): boolean {
  return error instanceof AppError && error.code === 'unavailable'
}

/** Resolves after the time, or at once when the signal aborts; never rejects. */
export function nap(ms: number, signal?: AbortSignal): Promise<void> {
  if (signal?.aborted) return Promise.resolve()
  return new Promise(resolve => {
    const done = () => {
      clearTimeout(timer)
      signal?.removeEventListener('abort', done)
      resolve()
    }
    const timer = setTimeout(done, ms)
    signal?.addEventListener('abort', done)
  })
}
