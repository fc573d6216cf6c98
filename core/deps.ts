/**
 * What the verbs of core need from outside, by capability. A place builds these once from its
 * environment and passes them as the first parameter; `platform/` holds the drivers.
 */
import type { NodePgDatabase } from 'drizzle-orm/node-postgres'
import type { Judge } from '#schemas/decision.ts'
import type { Event, Placement, Position } from '#schemas/event.ts'
import type { ExplainedEvent, ServicePlan, ViewPlan, ViewValues } from '#schemas/feature.ts'
import type { TenantId } from '#schemas/ids.ts'
import type { QueueName } from '#schemas/queues.ts'
import type { TraceContext } from './trace.ts'

export type {
  Departure,
  InferenceCall,
  InferenceReply,
  InferenceRouter,
  LoadCall,
  Servable,
} from './router.ts'
export type { Tracer } from './trace.ts'

export type Clock = { now(): number }

export type Log = {
  /** One structured line per unit of work. */
  info(event: string, fields?: Record<string, unknown>): void
  error(event: string, fields?: Record<string, unknown>): void
}

/** A transaction bound to one tenant: row-level security shows it that tenant's rows and no others. */
export type Tx = Parameters<Parameters<NodePgDatabase['transaction']>[0]>[0]

export type Database = {
  /** Runs the work in one transaction that sees only this tenant; commits when it resolves. */
  tenant<T>(tenantId: TenantId, work: (tx: Tx) => Promise<T>): Promise<T>
  /**
   * Runs work of the platform itself (outbox relay, sweeps, key look-up, ledger batches) under a role
   * that may cross tenants in the few tables that name it in a policy.
   */
  system<T>(work: (tx: Tx) => Promise<T>): Promise<T>
}

export type Message = {
  id: string
  body: string
  /** Valid for this receive only; deleting with an older one does nothing. */
  receipt: string
  /** How often this message was received, this time included. */
  receiveCount: number
}

/** SQS semantics: at least once, unordered, hidden while in flight, dead-lettered when poisonous. */
export type Queue = {
  /**
   * Durable when it resolves. Any number of messages, each of up to 4 MiB; the driver makes batches. Rejects with
   * `PartlyDone` where it knows that some were stored; otherwise any of them may have been.
   */
  send(queue: QueueName, messages: { body: string; delayS?: number }[]): Promise<void>
  /** Up to `max` (≤ 10) messages; waits up to `waitS` (≤ 20) for the first; resolves early on abort. */
  receive(
    queue: QueueName,
    options: { max: number; waitS: number; visibilityS?: number; signal?: AbortSignal },
  ): Promise<Message[]>
  /** Deletes those whose receipt is still the newest; the others are ignored. Rejects as `send` does. */
  delete(queue: QueueName, receipts: string[]): Promise<void>
  /** Sets when the message is receivable again, from now; 0 gives it back at once. False: not ours any more. */
  extend(queue: QueueName, receipt: string, visibilityS: number): Promise<boolean>
  /** Messages of the dead-letter queue, for inspection. */
  dead(queue: QueueName): Promise<number>
  /**
   * Sends up to `max` (≤ 1,000) dead messages back to their queue, where they are as new; resolves with how
   * many, fewer than `max` when there are no more. Who dies meanwhile may leave one in both, and loses none.
   */
  redrive(queue: QueueName, max: number): Promise<number>
}

export type BlobInfo = { key: string; size: number; sha256: string }
export type BlobPart = { number: number; size: number; sha256: string }
export type Bytes = Uint8Array | AsyncIterable<Uint8Array>

/**
 * Immutable blobs by key. A key is `/`-separated segments of `[A-Za-z0-9._-]`; the first is the tenant.
 * What a call acknowledged survives a power failure.
 */
export type Blobs = {
  /**
   * Stores the bytes, all or nothing. Throws `digest_mismatch` if `sha256` is given and differs,
   * `payload_too_large` past `sizeMax`, `insufficient_storage` on a full disk.
   * A key that exists is replaced in one step.
   */
  put(key: string, body: Bytes, options?: { sha256?: string; sizeMax?: number }): Promise<BlobInfo>
  /** The bytes from `start` up to, not including, `end`; null when there is no such key. */
  get(
    key: string,
    range?: { start: number; end: number },
  ): Promise<{ info: BlobInfo; body: AsyncIterable<Uint8Array> } | null>
  head(key: string): Promise<BlobInfo | null>
  delete(key: string): Promise<void>
  list(prefix: string, options?: { after?: string; max?: number }): Promise<BlobInfo[]>
  /**
   * Parts of an upload, numbered from 1, each replaceable until the upload is completed. `size` is what
   * the sender declared, for a wire on which a body that broke off looks like one that ended.
   */
  putPart(
    uploadKey: string,
    number: number,
    body: Bytes,
    options?: { sha256?: string; sizeMax?: number; size?: number },
  ): Promise<BlobPart>
  listParts(uploadKey: string): Promise<BlobPart[]>
  /** Joins the parts in order into one blob and removes them; verifies size and digest first. Idempotent. */
  completeUpload(
    uploadKey: string,
    key: string,
    expected: { size: number; sha256: string },
  ): Promise<BlobInfo>
  abortUpload(uploadKey: string): Promise<void>
  /** The path of a local, read-only copy of the blob, for engines that want a file. */
  localFile(key: string): Promise<string>
}

/** What most verbs need: the transaction that they are part of, bound to the caller's tenant, and the time. */
export type Unit = {
  tx: Tx
  clock: Clock
  /** Of who asks, where that is traced: messages that are promised have it. */
  trace?: TraceContext
  /** Gathers the ids of messages that the transaction promises, where somebody sends them as it commits. */
  promised?: bigint[]
}

/** Classes of hardware of which pools can have runners, whether or not any is up. */
export type Supply = { suppliedClasses: readonly string[] }

/** Tokens that an edge isolate may spend by itself, debited before they are given. */
export type RateLease = {
  granted: number
  /** Unix milliseconds after which unspent tokens are void. */
  validUntil: number
  /** When nothing was granted: milliseconds until a token is free. */
  retryAfterMs: number
}

/** Single-writer objects by tenant; each call is atomic and durable before its reply leaves. */
export type Objects = {
  tenant(tenantId: TenantId): {
    leaseRate(input: {
      limit: string
      perS: number
      burst: number
      want: number
    }): Promise<RateLease>
  }
}

/** Where the online features are: one object per group of partitions of a tenant. */
export type FeatureObjects = {
  /** How many neighbouring partitions one object holds; fixed once there is data. */
  partitionsPerObject: number
  group(tenantId: TenantId, group: number): FeatureObject
  /**
   * `apply` at several objects of a tenant, each for itself: the outcomes, in the order of the calls, say
   * what each took. No object is named twice.
   */
  applyAt(tenantId: TenantId, calls: readonly ApplyAt[]): Promise<AppliedAt[]>
}
export type ApplyAt = { group: number; input: ApplyEvents }
export type AppliedAt = { positions: Position[] } | { error: unknown }

/** Online features of a group of partitions. Every call is atomic, and on disk before its reply leaves. */
export type FeatureObject = {
  /**
   * Applies events that the log has. One that was applied before, by whichever way, keeps its position.
   * `checkedAt`: when the log was asked (Unix milliseconds); throws `conflict` when that was too long ago.
   */
  apply(input: ApplyEvents): Promise<{ positions: Position[] }>
  /** Values of all views of the plan for each entity, in order, as of one time that no later commit precedes. */
  read(input: ReadFeatures): Promise<{ reads: EntityRead[] }>
  /**
   * Reads the features of the gating entity strictly before the event, then applies the event, in one
   * step. Asked again for the same event it gives the same snapshot. Throws `event_conflict`.
   */
  decide(input: DecideFeatures): Promise<Decided>
  /** What a view is for an entity, and which events make it so. */
  explain(input: ExplainFeatures): Promise<Explained>
  /** Forgets events, with what was decided by them; may be asked again. */
  erase(input: EraseEvents): Promise<{ erased: number }>
}

/** Events at an entity each, and all that tell about one. */
export type EraseEvents = { entity?: EntityKey; events: (EntityKey & { eventKey: string })[] }

export type ApplyEvents = {
  placements: Placement[]
  checkedAt: number
  /** By event type: for how many days their events are kept for windows. */
  onlineDays: Record<string, number>
}

/** A plan travels once per object: by its hash alone until the object throws `plan_wanted`. */
export type PlanRef = { planHash: string; plan?: ServicePlan }
export type EntityKey = { entity: string; entityKey: string }
export type ReadFeatures = PlanRef & {
  keys: EntityKey[]
  /** As of a time that has been (microseconds), to read again what was read then; else as of now. */
  at?: number
  /** By partition: throws `not_fresh` unless at least this seq has been applied. */
  minSeq?: Record<number, number>
}
/** `at` (microseconds): as of then; else as of now. Events are those inside any span, the newest first. */
export type ExplainFeatures = EntityKey & { view: ViewPlan; at?: number; eventsMax: number }
export type Explained = EntityRead & { events: ExplainedEvent[]; eventsTotal: number }
/** What one reader saw of one entity. */
export type EntityRead = EntityKey & {
  partition: number
  /** The newest seq of its partition that was applied. */
  seq: number
  /** Microseconds: the time of the read. Exactly what was known at this time was seen. */
  at: number
  /** In the order of the plan's views for this entity. */
  views: ViewValues[]
}
export type DecideFeatures = PlanRef & {
  event: Event
  /** False: its time is not the producer's; the object gives it its own. */
  isTimed: boolean
  gate: EntityKey
  /** Further entities that this very object holds, read in the same step. */
  also: EntityKey[]
  /** What was read of entities elsewhere; kept with the snapshot. */
  given: EntityRead[]
  /** For how many days events of this type are kept for windows. */
  onlineDays: number
  /** What the decision is about to be made by; kept with the snapshot. */
  endpoint: Judge
}
export type Decided = {
  position: Position
  /** The gating entity first, then `also`, then `given`. */
  reads: EntityRead[]
  /** It was decided before: this is the first snapshot, with what it was to be judged by then. */
  repeated: boolean
  endpoint: Judge
}

/** Synchronous SQL of one object: Durable Object storage, or `node:sqlite` where there is none. */
export type ObjectSql = {
  exec<Row = Record<string, unknown>>(query: string, ...values: (string | number | null)[]): Row[]
}
