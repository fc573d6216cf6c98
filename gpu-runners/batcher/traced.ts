/**
 * The way of traced requests through the batcher: a wait, a batch, and the runs of the engine in it, as
 * spans of each request's own trace. A batch without a traced request has none of this.
 */
import type { OpenSpan, TraceContext, Tracer } from '#core/trace.ts'
import type { Ask } from './ask.ts'
import type { Taken } from './fair-queue.ts'

/** Of a request that waits: the span that it waits under, and since when. */
export type TracedWait = { context: TraceContext; sinceMs: number }

export class TracedBatch {
  /** As the log's line of the batch says it. */
  readonly id = newBatchId()
  readonly #tracer: Tracer
  readonly #taken: Taken
  /** Of asks that are not answered yet. */
  readonly #open = new Map<Ask, OpenSpan>()

  constructor(tracer: Tracer, taken: Taken) {
    this.#tracer = tracer
    this.#taken = taken
    const now = tracer.now()
    for (const ask of taken.asks) {
      if (!ask.trace) continue
      endWait(tracer, ask.trace, undefined, now)
      this.#open.set(ask, { ...tracer.child(ask.trace.context), startMs: now })
    }
  }

  now(): number {
    return this.#tracer.now()
  }

  /** One run of the engine, with these. */
  ran(live: readonly Ask[], startMs: number, isDone: boolean): void {
    const now = this.#tracer.now()
    const attributes = {
      'galley.batch.id': this.id,
      'galley.batch.rows': live.reduce((sum, ask) => sum + ask.rows, 0),
      'galley.batch.requests': live.length,
    }
    for (const ask of live) {
      const batch = this.#open.get(ask)
      if (!batch) continue
      const span = { ...this.#tracer.child(batch.context), startMs }
      const fault = isDone ? {} : { fault: 'run_failed' }
      this.#tracer.end(span, { name: 'engine', kind: 'internal', attributes, ...fault }, now)
    }
  }

  /** They are about to be answered. */
  end(asks: readonly Ask[], fault?: string): void {
    const { rows, reason, asks: all } = this.#taken
    const now = this.#tracer.now()
    for (const ask of asks) {
      const span = this.#open.get(ask)
      if (!span) continue
      this.#open.delete(ask)
      const attributes = {
        'galley.rows': ask.rows,
        'galley.batch.id': this.id,
        'galley.batch.rows': rows,
        'galley.batch.requests': all.length,
        'galley.batch.reason': reason,
      }
      const failed = fault === undefined ? {} : { fault }
      this.#tracer.end(span, { name: 'batch', kind: 'internal', attributes, ...failed }, now)
    }
  }

  /** Of those whose callers have left meanwhile. */
  close(): void {
    this.end([...this.#open.keys()], 'canceled')
  }
}

/** Null where nobody of the batch is traced. */
export function traceBatch(tracer: Tracer | null | undefined, taken: Taken): TracedBatch | null {
  return tracer && taken.asks.some(isTraced) ? new TracedBatch(tracer, taken) : null
}

/** The wait of one that is taken, or that is dropped. */
export function endWait(
  tracer: Tracer,
  { context, sinceMs }: TracedWait,
  fault?: string,
  now = tracer.now(),
): void {
  const span = { ...tracer.child(context), startMs: sinceMs }
  const failed = fault === undefined ? {} : { fault }
  tracer.end(span, { name: 'queue', kind: 'internal', attributes: {}, ...failed }, now)
}

function isTraced({ trace }: Ask): boolean {
  return trace !== undefined
}

function newBatchId(): string {
  return `bat_${crypto.randomUUID().replaceAll('-', '')}`
}
