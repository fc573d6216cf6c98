/** One call over HTTP: its URL and headers, its time limit, its retries. */
import { errorOf, GalleyError } from './error.ts'
import { sleep, waitBeforeRetry } from './retry.ts'

export type Connection = {
  /** Where Galley is, without a slash at the end. */
  baseUrl: string
  key: string | undefined
  fetch: typeof fetch
  random: () => number
}

export type CallOptions = {
  signal?: AbortSignal
  /** For each try, until the answer is complete, or for an answer in bytes until it begins. */
  timeoutMs?: number
}

export type Bytes = Uint8Array<ArrayBuffer> | string

export type Call = CallOptions & {
  method: string
  /** With its query. */
  path: string
  headers: Record<string, string>
  body: Bytes | null
  /** Whether running it twice is the same as running it once. */
  repeatable: boolean
}

const TIMEOUT_MS = 60_000

/** The successful answer, read by `read` while the time limit runs. Throws GalleyError. */
export async function send<T>(
  connection: Connection,
  call: Call,
  read: (response: Response) => Promise<T> | T,
): Promise<T> {
  for (let tries = 1; ; tries++) {
    try {
      return await once(connection, call, read)
    } catch (error) {
      call.signal?.throwIfAborted()
      if (!(error instanceof GalleyError)) throw error
      const { repeatable, signal } = call
      const waitMs = waitBeforeRetry(error, { tries, repeatable, random: connection.random })
      if (waitMs === null) throw error
      await sleep(waitMs, signal)
    }
  }
}

async function once<T>(
  { baseUrl, key, fetch }: Connection,
  call: Call,
  read: (response: Response) => Promise<T> | T,
): Promise<T> {
  const { method, path, body, timeoutMs = TIMEOUT_MS } = call
  const clock = new AbortController()
  const timer = setTimeout(() => clock.abort(), timeoutMs)
  const signal = call.signal ? AbortSignal.any([call.signal, clock.signal]) : clock.signal
  const headers = { ...call.headers, ...(key && { authorization: `Bearer ${key}` }) }
  try {
    // A redirect would carry the body, and with some servers the key, to where nobody sent it.
    const init = { method, headers, body, signal, redirect: 'manual' } as const
    const response = await fetch(baseUrl + path, init)
    if (!response.ok) throw await errorOf(response, Date.now())
    return await read(response)
  } catch (error) {
    if (error instanceof GalleyError) throw error
    call.signal?.throwIfAborted()
    if (clock.signal.aborted) {
      throw new GalleyError('timeout', `${baseUrl} did not answer within ${timeoutMs} ms.`)
    }
    throw networkError(baseUrl, error)
  } finally {
    clearTimeout(timer)
  }
}

export function networkError(baseUrl: string, error: unknown): GalleyError {
  const cause = (error as { cause?: { code?: string; message?: string } }).cause
  const why = cause?.code ?? cause?.message ?? (error as Error).message
  return new GalleyError('network', `${baseUrl} could not be reached: ${why}.`, { cause: error })
}
