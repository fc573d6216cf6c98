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
/** The answers after which OTLP asks to try again. */
const RETRIED = [429, 502, 503, 504]

export type Exporter = {
  add(span: Span): void
  /** Sends what is left, for so long at most. */
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
    for (let tries = 0; ; tries++) {
      // One that hangs ends with the rest: on Workers it would be cut off, and never settled.
      const tried = await post(body, Math.max(1, Math.min(timeoutMs, giveUpAt - clock.now())))
      if ('rejected' in tried) {
        settle(spans.length - tried.rejected, 'sent')
        settle(tried.rejected, 'rejected')
        isFailing = false
        return
      }
      const backoffMs = BACKOFF_MS * 2 ** tries * (0.5 + Math.random())
      const waitMs = tried.retryAfterMs ?? backoffMs
      if (!tried.mayPass || closed || clock.now() + waitMs > giveUpAt) {
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
    | { error: string; mayPass: boolean; retryAfterMs?: number | undefined }

  async function post(body: string, limitMs: number): Promise<Tried> {
    try {
      const response = await deps.fetch(url, {
        method: 'POST',
        headers: { ...headers, 'content-type': 'application/json' },
        body,
        redirect: 'manual',
        signal: AbortSignal.timeout(limitMs),
      })
      const text = await response.text()
      if (response.ok) return { rejected: rejectedIn(text) }
      const { status } = response
      const retryAfterMs = retryAfterOf(response.headers.get('retry-after'), clock.now())
      return { error: `status ${status}`, mayPass: RETRIED.includes(status), retryAfterMs }
    } catch (error) {
      return { error: String(error), mayPass: true }
    }
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
      if (closed) end()
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
    async close(waitMs) {
      closed = true
      for (const end of [...pauses]) end()
      const late = new Promise(resolve => {
        ;(setTimeout(resolve, waitMs) as { unref?(): void }).unref?.()
      })
      await Promise.race([Promise.all([...underWay, sendQueued()]), late])
    },
  }
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
