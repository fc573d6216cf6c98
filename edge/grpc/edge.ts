/** What a method is given besides its message, and what it gives back. */
import type { Call } from '#core/caller.ts'
import type { Departure, InferenceRouter } from '#core/deps.ts'
import type { EdgeDeps } from '../deps.ts'
import type { RequestMetrics } from '../metrics/requests.ts'
import type { Gate } from '../middleware/gate.ts'
import type { Answering } from '../rollouts/answering.ts'

export type GrpcEdge = Gate & {
  deps: Pick<EdgeDeps, 'functions' | 'signer' | 'clock' | 'log' | 'tracer'> & {
    router: InferenceRouter
  }
  answering: Answering
  metrics: RequestMetrics
}
/** What a call says besides its message. */
export type Asking = {
  /** The `authorization` of its metadata. */
  authorization: string | undefined
  /** As the header of HTTP. */
  sticky: string | undefined
  /** Likewise. */
  cacheControl: string | undefined
  /** Unix milliseconds; Infinity where the caller sets none. */
  deadline: number
  departure: Departure
  /** What it says of its trace; null where nothing is traced. */
  trace: { traceparent: string | undefined; tracestate: string | undefined } | null
}
export type Answered = { message: unknown; headers: Record<string, string> }
export type Answer<M> = (
  edge: GrpcEdge,
  call: Call,
  message: M,
  asking: Asking,
) => Promise<Answered>
