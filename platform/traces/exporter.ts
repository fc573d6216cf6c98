/**
 * Spans on their way to a receiver of OTLP over HTTP: gathered, sent together, bounded in memory. Nothing
 * waits for it; what cannot be sent is dropped and counted. Runs in every runtime.
 */
import type { Clock, Log } from '#core/deps.ts'
import type { Attributes } from '#core/trace.ts'
import type { Amount, Vector } from '../metrics/registry.ts'
import { requestOf, type Span } from './otlp.ts'
import type { TraceSettings } from './settings.ts'

/** Queued and under way together, a kilobyte each. */
const SPANS_MAX = 8_192
const BATCH_MAX = 512
const GATHER_MS = 1_000
/** A request that gathered for others may end before its time is up: on Workers one does. */
const LOST_MS = 10_000
/** From the first try: a Worker's work is cut off 30 s after its reply. */
const GIVE_UP_MS = 20_000
const BACKOFF_MS = 1_000
/** After a receiver has used all the time of a flush up: the next ones do not wait for it again. */
const REST_MS = 10_000
/** The answers after which OTLP asks to try again. */
const RETRIED = [429, 502, 503, 504]

export type Exporter = {
  add(span: Span): void
  /** Sends what there is, for so long at most; then nothing is under way, and what has not gone is dropped. */
  flush(waitMs: number): Promise<void>
  /** The last flush. */
  close(waitMs: number): Promise<void>
}
export type ExporterDeps = {
  fetch(url: string, init: RequestInit): Promise<Response>
  clock: Clock
  log: Log
  /** Work that outlives the reply; it never rejects. */
  background(work: Promise<unknown>): void
  /** By outcome: `sent`, `full`, `failed`, `rejected`. */
  outcomes: Vector<Amount>
}

export function openExporter(
  deps: ExporterDeps,
  { url, headers, timeoutMs }: Pick<TraceSettings, 'url' | 'headers' | 'timeoutMs'>,
  resource: Attributes,
): Exporter {
  const { clock, log, outcomes } = deps
  const underWay = new Set<Promise<unknown>>()
  /** Ends of pauses, called early when it closes. */
  const pauses = new Set<() => void>()
  let queue: Span[] = []
  let held = 0
  let gatheringSince: number | null = null
  let isFailing = false
  let closed = false
  /** What ends a request before its time. */
  const asking = new Set<AbortController>()
  /** While somebody waits for the end of it. */
  let isEnding = false
  let restsUntil = 0

  function start(work: Promise<void>): void {
    underWay.add(work)
    deps.background(work.finally(() => underWay.delete(work)))
  }

  async function gather(): Promise<void> {
    await pause(GATHER_MS)
    gatheringSince = null
    await sendQueued()
  }

  async function sendQueued(): Promise<void> {
    const spans = queue
    queue = []
    const batches: Promise<void>[] = []
    for (let at = 0; at < spans.length; at += BATCH_MAX) {
      batches.push(send(spans.slice(at, at + BATCH_MAX)))
    }
    await Promise.all(batches)
  }

  async function send(spans: Span[]): Promise<void> {
    const body = requestOf(resource, spans)
    const giveUpAt = clock.now() + GIVE_UP_MS
    for (let round = 0; ; round++) {
      // One that hangs ends with the rest: on Workers it would be cut off, and never settled.
      const tried = await post(body, Math.max(1, Math.min(timeoutMs, giveUpAt - clock.now())))
      if ('rejected' in tried) {
        settle(spans.length - tried.rejected, 'sent')
        settle(tried.rejected, 'rejected')
        isFailing = false
        return
      }
      // A connection that was kept may have been cut by whoever is in between, without a word.
      if (isEnding && round === 0 && tried.isLost) continue
      const backoffMs = BACKOFF_MS * 2 ** round * (0.5 + Math.random())
      const waitMs = tried.retryAfterMs ?? backoffMs
      if (!tried.mayPass || isEnding || clock.now() + waitMs > giveUpAt) {
        settle(spans.length, 'failed')
        // Once, and not for every batch for as long as it is away.
        if (!isFailing) log.error('traces.not_sent', { spans: spans.length, error: tried.error })
        isFailing = true
        return
      }
      await pause(waitMs)
    }
  }

  type Tried =
    | { rejected: number }
    | { error: string; mayPass: boolean; isLost?: boolean; retryAfterMs?: number | undefined }

  async function post(body: string, limitMs: number): Promise<Tried> {
    const limit = new AbortController()
    const late = setTimeout(() => limit.abort(noAnswer(limitMs)), limitMs)
    asking.add(limit)
    try {
      const response = await deps.fetch(url, {
        method: 'POST',
        headers: { ...headers, 'content-type': 'application/json' },
        body,
        redirect: 'manual',
        signal: limit.signal,
      })
      const text = await response.text()
      if (response.ok) return { rejected: rejectedIn(text) }
      const { status } = response
      const retryAfterMs = retryAfterOf(response.headers.get('retry-after'), clock.now())
      return { error: `status ${status}`, mayPass: RETRIED.includes(status), retryAfterMs }
    } catch (error) {
      return { error: String(error), mayPass: true, isLost: !limit.signal.aborted }
    } finally {
      clearTimeout(late)
      asking.delete(limit)
    }
  }

  async function flush(waitMs: number): Promise<void> {
    if (restsUntil > 0 && clock.now() < restsUntil) drop()
    if (held === 0 && pauses.size === 0) return
    isEnding = true
    for (const end of [...pauses]) end()
    const cut = setTimeout(() => {
      restsUntil = clock.now() + REST_MS
      for (const limit of asking) limit.abort(noAnswer(waitMs))
    }, waitMs)
    await Promise.all([...underWay, sendQueued()])
    clearTimeout(cut)
    isEnding = closed
  }

  function drop(): void {
    settle(queue.length, 'failed')
    queue = []
  }

  function settle(spans: number, outcome: string): void {
    held -= spans
    if (spans > 0) outcomes.of(outcome).add(spans)
  }

  function pause(ms: number): Promise<void> {
    return new Promise(resolve => {
      const end = () => {
        clearTimeout(timer)
        pauses.delete(end)
        resolve()
      }
      const timer = setTimeout(end, ms)
      // On Node it would keep a process alive that has nothing else to do.
      ;(timer as { unref?(): void }).unref?.()
      if (isEnding) end()
      else pauses.add(end)
    })
  }

  return {
    add(span) {
      if (held >= SPANS_MAX || closed) {
        outcomes.of('full').add()
        return
      }
      held++
      queue.push(span)
      if (queue.length >= BATCH_MAX) start(sendQueued())
      const now = clock.now()
      if (gatheringSince !== null && now - gatheringSince < LOST_MS) return
      gatheringSince = now
      start(gather())
    },
    flush,
    close(waitMs) {
      closed = true
      return flush(waitMs)
    },
  }
}

function noAnswer(ms: number): Error {
  return new Error(`no answer within ${ms} ms`)
}

/** Of an `ExportTraceServiceResponse`; a receiver that answers in another form took them all. */
function rejectedIn(text: string): number {
  try {
    const { partialSuccess } = JSON.parse(text) as {
      partialSuccess?: { rejectedSpans?: string | number }
    }
    return Number(partialSuccess?.rejectedSpans ?? 0) || 0
  } catch {
    return 0
  }
}

/** Seconds or a date (RFC 9110 §10.2.3). */
function retryAfterOf(header: string | null, now: number): number | undefined {
  if (header === null) return undefined
  const ms = /^\d+$/.test(header) ? Number(header) * 1_000 : Date.parse(header) - now
  return Number.isNaN(ms) ? undefined : Math.max(0, ms)
}
