/** Traces: what became of one request, span by span, in whichever place. */

/** Where a request stands in a trace (W3C Trace Context): ids in lower-case hex, and what vendors pass along. */
export type TraceContext = { traceId: string; spanId: string; state?: string }

/** A span under way. `startMs`: Unix milliseconds, with a fraction. */
export type OpenSpan = { context: TraceContext; parentId: string | null; startMs: number }

export type SpanKind = 'server' | 'client' | 'internal' | 'consumer'
export type Attributes = Record<string, string | number | boolean>
export type Ended = {
  name: string
  kind: SpanKind
  attributes: Attributes
  /** What it comes of besides its parent, in whichever traces. */
  links?: readonly TraceContext[]
  /** What went wrong, as a code; absent: nothing that is the platform's fault. */
  fault?: string
}

/** Spans of sampled requests. Whoever holds none, or gets none, does nothing more for a request. */
export type Tracer = {
  /** The span of a request that came with this `traceparent`, or without one; null: it is not sampled. */
  begin(traceparent: string | undefined): OpenSpan | null
  /** A span inside another, of this place or of the one that asked. */
  child(parent: TraceContext): OpenSpan
  /**
   * The span of work that was put off, by which these asked for it: a part of their trace where that is one,
   * a trace of its own where there are several, or none and the sampler wants it.
   */
  after(askers: readonly TraceContext[]): OpenSpan | null
  /** Unix milliseconds with a fraction, never before what `Date.now()` says. */
  now(): number
  /** Hands it on to be exported: at once, without waiting and without throwing. */
  end(span: OpenSpan, ended: Ended, endMs?: number): void
}
