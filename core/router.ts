/** What an edge needs to have models run: the router, and what is said to it. */
import type { Serving } from '#schemas/serving.ts'
import type { Signature } from '#schemas/signature.ts'
import type { Manifest } from '#schemas/tables/models.ts'
import type { RunSettings } from '#schemas/tuning.ts'
import type { Call } from './caller.ts'

/** What a runner needs to serve a version, and what its receipts name. */
export type Servable = {
  model: string
  version: number
  digest: string
  manifest: Manifest
  signature: Signature
  /** What its tenant has opted into; absent: nothing. */
  serving?: Serving
  /** How it runs best, where that was measured. */
  tuning?: RunSettings
}

/**
 * What no caller is answered with, and so no cache keeps and no inference log tells of. `shadow`: asked for a
 * rollout's sake, with a receipt of a kind of its own; `trial`: to explain a decision, or to try one again.
 */
type Kind = 'shadow' | 'trial'

/** One online inference as the edge hands it on: who asks, which version, and the body unread. */
export type InferenceCall = {
  call: Call
  model: Servable
  body: Uint8Array
  /** Texts as OpenAI's clients send them; absent: tensors of the Open Inference Protocol. */
  form?: 'embeddings'
  /** `Inference-Header-Content-Length`: bytes of JSON before the raw tensors; null: all is JSON. */
  jsonLength: number | null
  /** Unix milliseconds after which the answer is of no use. */
  deadline: number
  /** What the caller says of kept answers (RFC 9111 §5.2.1): none is wanted, or this one is not to be kept. */
  fresh?: 'no-cache' | 'no-store'
  kind?: Kind
}
export type InferenceReply = {
  body: Uint8Array
  jsonLength: number | null
  receiptId: string
  /** Engine time: this request's share of its batch. */
  computeUs: number
  /** Of a model whose answers are kept: what became of this one, as `Cache-Status` says it (RFC 9211). */
  cache?: string
  /** Of an answer that was kept: for how many seconds. */
  ageS?: number
}

/** A version to be made warm before it gets traffic. */
export type LoadCall = {
  call: Call
  model: Servable
  /** The digest whose work it is to take over: it is loaded on every runner that has that one warm. */
  instead: string | null
  /** Unix milliseconds. */
  deadline: number
}

/** How often, and how long in all. */
export type Timed = { count: number; ns: number }
/** What was answered of a version for one tenant. */
export type ServedCounts = {
  model: string
  version: number
  /** Unix milliseconds of the last answer; 0: none yet. */
  lastMs: number
  rows: number
  /** Runs of the model; of one that was shared with others, the share that was this tenant's rows. */
  executions: number
  success: Timed
  fail: Timed
  /** Everything but the run itself: reading, waiting, writing. */
  queue: Timed
  /** Whole runs, whoever shared them. */
  compute: Timed
}
/** Counts are of the runners that are there now, each since it started. */
export type Statistics = {
  runners: { name: string; sinceMs: number }[]
  models: ServedCounts[]
}
export type StatisticsCall = { call: Call; model?: string; version?: number }
/** Versions whose memory a tenant no longer claims. */
export type UnloadCall = { call: Call; digests: string[] }

/** Tells when the caller has gone: an AbortSignal, or the cheaper thing that a runtime has. */
export type Departure = {
  addEventListener(type: 'abort', listener: () => void, options?: { once?: boolean }): void
}

/** Finds a runner that has the model warm. Rejects with an AppError. */
export type InferenceRouter = {
  infer(call: InferenceCall, departure: Departure | null): Promise<InferenceReply>
  /** Resolves when the version is warm on a runner at least. Rejects with what the engine says. */
  load(call: LoadCall): Promise<{ runners: number }>
  /**
   * Ends the tenant's claim on the memory of these versions: given back where no other tenant uses them.
   * Throws `in_use` where it answers requests without a pause.
   */
  unload(call: UnloadCall): Promise<void>
  statistics(call: StatisticsCall): Promise<Statistics>
  /** Whether a runner is there. */
  ready(): Promise<boolean>
}
