/** What the edge is given by the entry that runs it: bindings, by process, loopback or network alike. */
import type { Context } from 'hono'
import type {
  Blobs,
  Clock,
  Departure,
  FeatureObjects,
  InferenceRouter,
  Log,
  Objects,
  Tracer,
} from '#core/deps.ts'
import type { Signer } from '#core/internal/signing.ts'
import type { Reading, Registry } from '#platform/metrics/registry.ts'
import type { HitReceipts } from './response-cache/receipts.ts'

export type EdgeDeps = {
  /** The functions: internal requests, signed by the edge. */
  functions: { fetch(request: Request): Promise<Response> }
  router: InferenceRouter
  objects: Objects
  features: FeatureObjects
  blobs: Pick<Blobs, 'put' | 'putPart' | 'get'>
  signer: Signer
  clock: Clock
  log: Log
  http: Http
  metrics: EdgeMetrics
  /** Null: nothing is traced. */
  tracer: Tracer | null
  /** Of answers that the edge gives by itself. */
  receipts: HitReceipts
  /** Of all answers that this process keeps. */
  cacheBytesMax: number
  /** Work that outlives the reply. */
  background(work: Promise<unknown>): void
}

export type EdgeMetrics = {
  /** What this edge counts on. */
  registry: Registry
  /** Of all processes, this one included. */
  readings(): Promise<Reading[]>
}

/** How a runtime hands over a request: Node's own request is cheaper to read than a Web one. */
export type RawHttp = {
  header(c: Context, name: string): string | undefined
  /**
   * The whole body. Throws `payload_too_large` as soon as it is longer. `held` hears how much it is to be:
   * of all where that was declared, else again with every piece; what it throws refuses the body.
   */
  body(c: Context, bytesMax: number, held?: (bytes: number) => void): Promise<Uint8Array>
  /** The body as it comes, for what is stored and not read. */
  stream(c: Context): AsyncIterable<Uint8Array>
  /** A whole reply. `headers` is the callee's to change. */
  reply(
    c: Context,
    status: number,
    headers: Record<string, string>,
    body: string | Uint8Array,
  ): Response
  /** Ends when the caller has gone; null where that cannot be known. */
  departed(c: Context): Departure | null
}

/** Where what is held of bodies is counted. */
export type Http = Omit<RawHttp, 'body'> & {
  /** Of any body that is read whole. */
  bodyBytesMax: number
  /** The whole body. Throws `payload_too_large`, and `unavailable` where too much is held already. */
  body(c: Context, bytesMax: number): Promise<Uint8Array>
  /** What the request holds in all from now on, as for a body that is unpacked. Throws `unavailable`. */
  hold(c: Context, bytes: number): void
  /** Whatever the request held has been let go. */
  release(c: Context): void
}
