/** The span of one inference on its runner: from its frame until its reply has left, or what went wrong is told. */
import { AppError } from '#core/error.ts'
import type { OpenSpan, TraceContext, Tracer } from '#core/trace.ts'
import { type InferHead, readTrace, type Shared } from './messages.ts'

/** `fault`: what it failed with, whoever is to blame; of callers' own mistakes the span says only the code. */
type Ended = Made | { fault: unknown }
type Made = { rows: number; computeUs: number; receiptId: string }
/** Of a request that is traced; told once how it ended. */
export type TracedInference = { context: TraceContext; end(ended: Ended): void }
/**
 * Told before its reply leaves, for whoever gets that may end its own span at once; or why it does not. The span lasts
 * while the reply waits for its receipt.
 */
export type Leaving = ((fault?: unknown) => void) | null

/** Where requests of a channel stand in their traces, each told in the frame before the request. */
export class TracedInferences {
  readonly #tracer: Tracer | null
  readonly #told = new Map<number, TraceContext>()

  constructor(tracer: Tracer | null) {
    this.#tracer = tracer
  }

  hear(id: number, payload: Buffer): void {
    if (this.#tracer) this.#told.set(id, readTrace(payload))
  }

  /** Null: it is not traced. `shared` is missing where the request names what was never told. */
  take(id: number, shared: Shared | undefined, head: InferHead): TracedInference | null {
    if (this.#told.size === 0) return null
    const trace = this.#told.get(id)
    this.#told.delete(id)
    if (!trace) return null
    const span = this.#tracer!.child(trace)
    const end = (ended: Ended) => endInference(this.#tracer!, span, shared, head, ended)
    return { context: span.context, end }
  }
}

export function leavingOf(traced: TracedInference, made: Made): Leaving {
  return fault => traced.end(fault === undefined ? made : { fault })
}

function endInference(
  tracer: Tracer,
  span: OpenSpan,
  shared: Shared | undefined,
  { requestId }: InferHead,
  ended: Ended,
): void {
  const attributes = { 'galley.request.id': requestId, ...(shared && about(shared)) }
  const is = { name: 'infer', kind: 'server' as const }
  if (!('fault' in ended)) {
    const { rows, computeUs, receiptId } = ended
    const made = { 'galley.rows': rows, 'galley.compute_us': computeUs }
    tracer.end(span, {
      ...is,
      attributes: { ...attributes, ...made, 'galley.receipt.id': receiptId },
    })
    return
  }
  const { fault } = ended
  const code = fault instanceof AppError ? fault.code : 'internal'
  const isOurs = !(fault instanceof AppError) || fault.status >= 500
  const failed = { ...attributes, 'error.type': code }
  tracer.end(span, { ...is, attributes: failed, ...(isOurs && { fault: code }) })
}

function about({ caller, model, kind }: Shared) {
  return {
    'galley.tenant.id': caller.tenantId,
    'galley.model.name': model.model,
    'galley.model.version': model.version,
    'galley.model.digest': model.digest,
    ...(kind && { 'galley.kind': kind }),
  }
}
